"""Step 4: train the model in a run directory; draw the figures at the end."""

import math
from dataclasses import replace
from functools import partial

import keras

from common.data.images import save_image
from common.io.terminal import echo
from common.training import trainer
from common.training.checkpoints import KeepEpochs
from common.training.init_from import inherit_settings, init_from_run
from common.training.plan import fit_plan, stored_plan, warn_if_few
from common.training.run_directory import RunDirectory
from examples.dcgan.config import Config
from examples.dcgan.data import ImageSet, load_images, training_batches
from examples.dcgan.demo import DrawSamples, ImageGenerator, draw_training_gif, sheet
from examples.dcgan.feature_maps import Size
from examples.dcgan.metrics.diagnostics import WarnOfFailures, draw_training_curves
from examples.dcgan.model import DCGAN

MIN_STEPS = 2000
"""Planned for the user's own pictures at least; fewer leave the generator with grey patches."""
MIN_PICTURES = 1000


def build_model(config: Config, images: ImageSet, model_class: type[DCGAN] = DCGAN) -> DCGAN:
    """Return the untrained, compiled model of `config` for images of this shape."""
    _, *size, channels = images.train.shape
    model = model_class(tuple(size), channels, **config.architecture()).build_weights()
    model.compile(
        keras.optimizers.Adam(config.generator_learning_rate, beta_1=config.beta_1),
        keras.optimizers.Adam(config.discriminator_learning_rate, beta_1=config.beta_1),
        r1_gamma(config, tuple(size)),
    )
    return model


def r1_gamma(config: Config, image_size: Size) -> float:
    """Return the weight of the gradient penalty: that of `config`, or one in proportion to the pixels, H x W.

    The squared norm of the gradient falls as the pixels grow in number (Karras et al. 2020, arXiv:2006.06676, C, where
    the weight also falls as the batch grows).
    """
    return math.prod(image_size) / 64**2 if config.r1_gamma is None else config.r1_gamma


def train(config: Config, model_class: type[DCGAN] = DCGAN) -> RunDirectory:
    """Train with the settings `config`, or resume the run in its directory, and draw the figures.

    The notebook passes the `model_class` that it defines.

    Raises:
        UserError: the data cannot be used, or the run directory has other settings.
        Interrupted: a signal stopped the training, and everything is saved.
    """
    config = config.with_precision()
    trainer.set_seed_and_precision(config.seed, config.precision)
    config = stored_plan(inherit_settings(config))
    images = load_images(config.data, config.image_size, config.channels, config.data_dir, config.max_skipped)
    if config.adaptable:
        config = plan_for_pictures(config, len(images.train))
    config = replace(config, r1_gamma=r1_gamma(config, images.train.shape[1:3]))
    run = config.start_run(images.fingerprint)
    model = build_model(config, images, model_class)
    init_from_run(model, config, run)
    print_summary(config, images, model)
    keep_epochs = [KeepEpochs(run.checkpoints, config.keep_every)] if config.keep_every else []
    trainer.Trainer(
        model,
        run,
        callbacks=[DrawSamples(run, ImageGenerator(model), config.seed), WarnOfFailures(), *keep_epochs],
        **config.loop_settings(),
    ).fit(partial(training_batches, images.train, config.batch_size, config.seed))
    draw_pictures(run, model)
    return run


def plan_for_pictures(config: Config, count: int) -> Config:
    """Return `config` with a plan for `count` pictures of the user, and warn if they are few."""
    config = fit_plan(config, count, f"{count:,} pictures", MIN_STEPS)
    if "ema_decay" in config.adaptable:  # the EMA must forget the untrained generator
        steps = config.epochs * math.ceil(count / config.batch_size)
        config = replace(config, ema_decay=min(config.ema_decay, round(1 - 10 / max(20, steps), 4)))
    warn_if_few(count, MIN_PICTURES, "pictures", "expect blurred mixtures and copies of them")
    return config


def print_summary(config: Config, images: ImageSet, model: DCGAN) -> None:
    """Print the number and shape of the images, the number of weights of both networks, and the penalty's weight."""
    count, height, width, channels = images.train.shape

    def weights(network: keras.Model) -> str:
        return f"{sum(math.prod(weight.shape) for weight in network.trainable_weights):,} weights"

    echo(
        f"{config.data}: {count:,} images of {height} x {width} {'in colour' if channels == 3 else 'in grey'}\n"
        f"generator {weights(model.generator)}, discriminator {weights(model.discriminator)}; "
        f"weight of the gradient penalty R1 {model.r1_gamma:.3g}"
    )


def draw_pictures(run: RunDirectory, model: DCGAN) -> None:
    """Draw the training curves, the training GIF and a sheet of samples, once an epoch is finished."""
    rows = run.read_metrics()
    if not rows:
        return
    draw_training_curves(rows, run.figures / "learning_curve.png")
    draw_training_gif(run)
    save_image(sheet(ImageGenerator(model).sample(64, seed=1)), run.figures / "samples.png")
    echo(f"pictures: {run.figures}")
