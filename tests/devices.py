"""Train an example for some steps on several devices and print its losses: python -m tests.devices EXAMPLE STEPS WAY...

The ways: one device, two logical devices, XLA, workers (those of TF_CONFIG). Prints a JSON object, for each way the
results of every step, and the metrics of the validation at the end.

Without dropout, and a smaller DCGAN in float64 throughout: adversarial training makes the rounding of float32 five
times as large with every step, so that after 30 steps the losses of two equal trainings have nothing in common.
"""

import importlib
import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from common.app.start import start_tensorflow
from common.training.cluster import read_workers

SETTINGS = {  # no dropout, and a small DCGAN, because XLA is slow in float64
    "text_generation": {"dropout": 0.0},
    "nmt_attention": {"dropout": 0.0},
    "image_captioning": {"dropout": 0.0, "batch_size": 31},  # an odd number: one device has a row more than the other
    "dcgan": {"batch_size": 33, "base_channels": 8},
}


class Stop(Exception):
    pass


def main(example: str, steps: int, ways: list[str]) -> None:
    workers = read_workers()
    strategy = start_tensorflow("auto" if workers else "cpu:2", workers)
    results = {way: losses(example, steps, way, strategy) for way in ways}
    if not workers or workers.is_chief:
        print(json.dumps(results), flush=True)


def losses(example, steps, way, strategy):
    """Return the results of the first `steps` steps, and the first row of metrics."""
    import tensorflow as tf

    from common.nn.adversarial import AdversarialModel
    from common.training import samples, trainer
    from common.training.devices import training_devices

    recorded = []
    read_results, fit = trainer.Trainer._read_results, trainer.Trainer.fit

    def read_and_record(self):
        recorded.extend({name: float(value) for name, value in values.items()} for _, values in self._results)
        return read_results(self)

    def fit_and_stop(self, *data):
        fit(self, *data)
        raise Stop(self.state.history[-1])

    if example == "dcgan":
        use_float64(trainer)

    def fixed_latents(self, count):  # XLA draws other numbers
        from common.nn.replicas import sum_over_replicas, take_rows

        self.seed_generator.next()
        total = sum_over_replicas(count)
        return take_rows(tf.sin(tf.reshape(tf.range(tf.cast(total * self.latent_dim, tf.float32)), [total, -1])))

    trainer.Trainer._read_results, trainer.Trainer.fit = read_and_record, fit_and_stop
    AdversarialModel.sample_latents = fixed_latents
    samples.SampleCallback.on_train_begin = samples.SampleCallback.on_epoch_end = lambda self, *_, **__: None
    config = importlib.import_module(f"examples.{example}.config").PRESETS["tiny"]
    train = importlib.import_module(f"examples.{example}.train").train
    with tempfile.TemporaryDirectory() as folder, training_devices(strategy if way in ("two", "workers") else None):
        settings = SETTINGS[example] | {"epochs": steps // 5, "steps_per_epoch": 5, "xla": way == "xla"}
        try:
            train(replace(config, run_dir=Path(folder) / "run", **settings))
        except Stop as stop:
            trainer.Trainer._read_results, trainer.Trainer.fit = read_results, fit
            last = {name: value for name, value in stop.args[0].items() if name != "seconds"}
            return [*recorded, last]


def use_float64(trainer):
    """Compute DCGAN in float64, the layers and metrics included that it has in float32, and draw no samples."""
    import keras
    import tensorflow as tf

    from common.nn.adversarial import AdversarialModel
    from examples.dcgan import demo, model

    def without_dtype(layer_class):
        return lambda *arguments, dtype=None, **options: layer_class(*arguments, **options)

    def seed_in_float64(seed, precision):
        keras.utils.set_random_seed(seed)
        keras.config.set_dtype_policy("float64")

    diversity, r1_penalty = model.diversity, AdversarialModel.r1_penalty
    if keras.layers.Dense.__name__ == "Dense":  # not patched yet
        keras.layers.Dense = without_dtype(keras.layers.Dense)
        keras.layers.Conv2DTranspose = without_dtype(keras.layers.Conv2DTranspose)
        model.diversity = lambda *images: diversity(*(tf.cast(each, tf.float32) for each in images))
        AdversarialModel.r1_penalty = lambda self, real: r1_penalty(self, tf.cast(real, tf.float64))
    trainer.set_seed_and_precision = seed_in_float64
    demo.DrawSamples.on_train_batch_begin = lambda self, *_, **__: None


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
