"""How many photos are encoded, captions learned from, and captions made in a second.

python -m benchmarks.captioning_speed --photos DIR --encoder-weights PATH

Each row is the median of several rounds in one process, rows taking turns, so that a busy machine slows all alike. The
plain way to train, for comparison, is a loop in Python over the words with attention recomputed from scratch for each.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import tensorflow as tf
import tyro

from common import training
from common.images import image_paths
from common.text import Vocabulary
from examples.image_captioning.config import PRESETS
from examples.image_captioning.data import SPECIAL
from examples.image_captioning.demo import PhotoCaptioner, Search
from examples.image_captioning.encoder import load_encoder
from examples.image_captioning.features import extract_features
from examples.image_captioning.model import TrainableCaptioner, cross_entropy, masked_mean
from examples.image_captioning.photos import LeftOut, Photo, survey
from examples.image_captioning.train import build_optimizer, build_schedule

WORDS, VOCABULARY, LENGTH = 12, 2538, 12


def plain_step(model: TrainableCaptioner, batch) -> tf.Tensor:
    """Take the same step word by word: one turn of a Python loop for each, and for each the keys of all cells."""
    source, inputs, targets, mask = batch
    with tf.GradientTape() as tape:
        (where, what, _, overview), state = model.look(source, training=True)
        logits = []
        for t in range(inputs.shape[1]):
            words = model.embedding(inputs[:, t])
            shown, state = model.reader.cell(model.tell(words, overview), state)
            seen, _ = model.attention(shown[:, None], where, what, model.attention.key(where))
            logits.append(model.say(words[:, None], shown[:, None], seen, overview, training=True))
        loss = masked_mean(cross_entropy(tf.concat(logits, axis=1), targets, model.label_smoothing), mask)
    gradients = tape.gradient(loss, model.trainable_variables)
    gradients = [tf.convert_to_tensor(gradient) for gradient in gradients]
    model.optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
    return loss


def rates(tasks: dict[str, tuple[int, Callable[[], object]]], rounds: int) -> dict[str, float]:
    """Return for each task (how many it does, what does them) the median number a second."""
    for _, task in tasks.values():
        task()  # compile
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(rounds):
        for name, (_, task) in tasks.items():
            started = time.perf_counter()
            task()
            seconds[name].append(time.perf_counter() - started)
    return {name: count / statistics.median(seconds[name]) for name, (count, _) in tasks.items()}


def main(
    photos: Path,
    encoder: str = "mobilenet_v2",
    encoder_weights: str = "random",
    precision: str = "float32",
    rounds: int = 7,
) -> None:
    """Print a table of rates.

    Args:
        photos: a folder of photos, decoded as they are.
        encoder: as for `train`.
        encoder_weights: as for `train`.
        precision: of training and search.
        rounds: how many measurements of each.
    """
    config = replace(PRESETS["quick"], precision=precision)
    training.prepare(1, precision)
    paths = image_paths(photos)[:96]
    found = survey([Photo(path.name, ["x"], "train", path) for path in paths], LeftOut())
    network = load_encoder(encoder, encoder_weights)
    vocabulary = Vocabulary([*SPECIAL, *(f"word{number}" for number in range(VOCABULARY - len(SPECIAL)))])

    def make_model() -> TrainableCaptioner:
        model = TrainableCaptioner(VOCABULARY, network, **config.losses(), **config.architecture())
        model.build_weights(network).compile(build_optimizer(config, build_schedule(config, 1000)))
        return model

    rng = np.random.default_rng(1)
    ids = rng.integers(len(SPECIAL), VOCABULARY, size=(config.batch_size, LENGTH + 1)).astype("int32")
    source = rng.uniform(0, 3, size=(config.batch_size, *network.shape)).astype("float16")
    batch = tuple(map(tf.constant, (source, ids[:, :-1], ids[:, 1:], np.ones((config.batch_size, LENGTH), bool))))
    model, plain = make_model(), make_model()
    model.optimizer.build(model.trainable_variables)
    plain.optimizer.build(plain.trainable_variables)
    step, eager = tf.function(model.train_step), lambda: plain_step(plain, batch)
    captioner = PhotoCaptioner(model, network, vocabulary, WORDS)

    def encode() -> None:
        with tempfile.TemporaryDirectory() as folder:
            extract_features(found, network, Path(folder), LeftOut())

    tasks = {
        "photos decoded, encoded and written": (len(found), encode),
        "training captions of 12 words": (config.batch_size, lambda: step(batch)),
        "the same, plain: word by word, eager": (config.batch_size, eager),
        "captions made, greedy": (config.batch_size, lambda: captioner.caption(source, Search(beam=1))),
        "captions made, beam 3": (config.batch_size, lambda: captioner.caption(source, Search(beam=3))),
        "captions made one by one, beam 3": (1, lambda: captioner.caption(source[:1], Search(beam=3))),
    }
    print(f"| {encoder}, {precision} | a second |\n|---|---|")
    for name, rate in rates(tasks, rounds).items():
        print(f"| {name} | {rate:.1f} |")


if __name__ == "__main__":
    tyro.cli(main)
