# %% [markdown]
# # DCGAN: training
#
# Everything meets here: the batches, the two networks with their tapes, and the loop that drives them and can be
# interrupted anywhere.

# %%
"""Step 4: put data, model and loop together in a run directory; draw the pictures when training is over."""

import math
from functools import partial

import keras

from common.data.images import save_image
from common.io.terminal import echo
from common.training import trainer
from common.training.run_directory import Run

# %% tags=["module"]
from examples.dcgan.balance import WatchBalance, draw_balance
from examples.dcgan.config import Config
from examples.dcgan.data import ImageSet, load_images, training_batches
from examples.dcgan.demo import ImageGenerator, SampleEveryEpoch, draw_training_gif, sheet
from examples.dcgan.model import DCGAN


# %%
def build_model(config: Config, images: ImageSet) -> DCGAN:
    """Return the untrained, compiled model of `config` for images of that shape."""
    _, size, _, channels = images.train.shape
    model = DCGAN(size, channels, **config.architecture()).build_weights()
    model.compile(
        keras.optimizers.Adam(config.generator_learning_rate, beta_1=config.beta_1),
        keras.optimizers.Adam(config.discriminator_learning_rate, beta_1=config.beta_1),
    )
    return model


def train(config: Config) -> Run:
    """Train as `config` says, or resume the run that is there, and draw the pictures.

    Raises:
        UserError: bad data, or a run directory with other settings.
        Interrupted: stopped by a signal, with everything saved.
    """
    trainer.prepare(config.seed, config.precision)
    images = load_images(config.data, config.image_size, config.channels, config.data_dir)
    run = Run.start(
        config.run_path,
        config.EXAMPLE,
        settings=config.settings(),
        data=images.fingerprint,
        fresh=config.fresh,
    )
    model = build_model(config, images)
    announce(config, images, model)
    trainer.Trainer(
        model,
        run,
        epochs=config.epochs,
        steps_per_epoch=config.steps_per_epoch,
        callbacks=[SampleEveryEpoch(run.samples, config.seed), WatchBalance()],
        eager=config.eager,
        max_minutes=config.max_minutes,
        checkpoint_seconds=config.checkpoint_seconds,
    ).fit(partial(training_batches, images.train, config.batch_size, config.seed))
    draw_pictures(run, model)
    return run


def announce(config: Config, images: ImageSet, model: DCGAN) -> None:
    """Say what is about to be trained on what."""
    count, height, width, channels = images.train.shape

    def weights(network: keras.Model) -> str:
        return f"{sum(math.prod(weight.shape) for weight in network.trainable_weights):,} weights"

    echo(
        f"{config.data}: {count:,} images of {height} x {width} {'in colour' if channels == 3 else 'in grey'}\n"
        f"generator {weights(model.generator)}, discriminator {weights(model.discriminator)}"
    )


def draw_pictures(run: Run, model: DCGAN) -> None:
    """Draw curves, training GIF and a sheet of samples of the run so far; nothing if no epoch is finished."""
    rows = run.read_metrics()
    if not rows:
        return
    draw_balance(rows, run.figures / "learning_curve.png")
    draw_training_gif(run)
    save_image(sheet(ImageGenerator(model).draw(64, seed=1)), run.figures / "samples.png")
    echo(f"pictures: {run.figures}")
