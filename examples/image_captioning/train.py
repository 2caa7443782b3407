"""Step 4: put data, model and loop together in a run directory; draw the pictures when training is over."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import keras

from common.data.vocabulary import Vocabulary
from common.io.terminal import echo, warn
from common.nn.adam import Adam
from common.training import trainer
from common.training.init_from import inherit_settings, init_from_run, init_from_vectors
from common.training.plan import fit_plan, stored_plan, warn_if_few
from common.training.run_directory import RunDirectory
from common.training.schedule import WarmupCosine, build_schedule
from examples.image_captioning.config import Config
from examples.image_captioning.data import CaptionBatches, PhotoSet, data_fingerprint, load_photos, load_split
from examples.image_captioning.demo import Classes, PhotoCaptioner, build_model, encoder_weights_path
from examples.image_captioning.demonstrate.caption_figures import CaptionSamples, draw_figures
from examples.image_captioning.model import Captioner
from examples.image_captioning.preprocess.feature_extractor import FeatureExtractor, load_extractor, write_weights
from examples.image_captioning.scene_captioner import SceneCaptioner
from examples.image_captioning.vocabulary import build_vocabulary

MIN_STEPS = 500
"""Planned for the user's own photos at least; fewer teach one caption for all."""
MIN_PHOTOS = 1000
MAX_CUT = 0.05
"""Fraction of the captions longer than --max-length above which a line on stderr says so."""


@dataclass(frozen=True)
class Data:
    """The data of a training."""

    train: PhotoSet
    validation: PhotoSet
    extractor: FeatureExtractor
    vocabulary: Vocabulary
    fingerprint: dict[str, Any]


def load_data(config: Config) -> Data:
    """Load the photos and captions of `config`, and compute what has not been computed yet of their features.

    Raises:
        UserError: as `load_photos`, `load_extractor` and `load_split`.
    """
    photos = load_photos(config.data, config.images, config.data_dir, config.encoding, config.max_skipped)
    extractor = load_extractor(config.encoder, extractor_weights(config))
    train, validation = (
        load_split(photos, split, extractor, config.features_dir, config.max_skipped, mirror=mirror)
        for split, mirror in (("train", config.mirror), ("validation", False))
    )
    captions = [words for of_photo in train.captions() for words in of_photo]
    warn_of_cut_captions([len(words) for words in captions], config.max_length)
    vocabulary = build_vocabulary(captions, planned_min_count(config, len(captions)))
    return Data(train, validation, extractor, vocabulary, data_fingerprint(photos, extractor))


def extractor_weights(config: Config) -> str:
    """Return the weights of the extractor: those of a run that is resumed, with --init-from those of the old run.

    If the settings name others, or there are none, they are those of the settings.
    """
    if config.encoder_weights == Config.encoder_weights:
        runs = [] if config.fresh else [config.run_path]
        runs += [Path(config.init_from)] if config.init_from else []
        for path in (encoder_weights_path(RunDirectory(run)) for run in runs):
            if path.is_file():
                return str(path)
    return config.encoder_weights


def warn_of_cut_captions(lengths: Sequence[int], max_length: int) -> None:
    """Warn if many captions are longer than `max_length` words, because a model learns to end where they are cut."""
    cut = sum(length > max_length for length in lengths) / len(lengths)
    if cut > MAX_CUT:
        warn(
            f"warning: {cut:.0%} of the captions are longer than {max_length} words and are cut; for most of them, add "
            f"--max-length {sorted(lengths)[int(0.98 * len(lengths))]}"
        )


def planned_min_count(config: Config, captions: int) -> int:
    """Return --min-count; the plan lowers it where a few captions would leave no words."""
    return min(config.min_count, 1 + captions // 2000) if "min_count" in config.adaptable else config.min_count


def plan_for_photos(config: Config, photos: PhotoSet) -> Config:
    """Return `config` with a plan for the training photos of the user, and warn if they are few."""
    captions = sum(map(len, photos.captions()))
    config = replace(config, min_count=planned_min_count(config, captions))
    consequence = "captions will repeat those of the training, whatever the photo shows"
    warn_if_few(len(photos), MIN_PHOTOS, "photos", consequence)
    return fit_plan(config, captions, f"{captions:,} captions", MIN_STEPS)


# Adam's learning rate rises over the first steps, while its averages are still poor. Then it falls to 0 along a cosine.
def build_optimizer(config: Config, schedule: WarmupCosine) -> keras.optimizers.Optimizer:
    """Return Adam at the rate of `schedule`, with clipping."""
    return Adam(schedule, global_clipnorm=config.clip_norm)


def train(config: Config, classes: Classes = (Captioner, SceneCaptioner)) -> RunDirectory:
    """Train a model by the settings of `config`, or resume its run, and draw the figures.

    The notebook passes the `classes` that it defines.

    Raises:
        UserError: bad data, or a run directory with other settings.
        Interrupted: stopped by a signal, with everything saved.
    """
    config = config.with_precision()
    trainer.set_seed_and_precision(config.seed, config.precision)
    config = stored_plan(inherit_settings(config))
    data = load_data(config)
    if config.adaptable:
        config = plan_for_photos(config, data.train)
    run = config.start_run(data.fingerprint)
    data.vocabulary.save(run.vocabulary)
    if data.extractor.base is not None and not encoder_weights_path(run).exists():
        write_weights(data.extractor, encoder_weights_path(run))

    # Again, because computing features must not change the initial weights.
    trainer.set_seed_and_precision(config.seed, config.precision)
    train_batches, validation_batches = (
        CaptionBatches(photos, data.vocabulary, config.batch_size, config.max_length)
        for photos in (data.train, data.validation)
    )
    model = build_model(config, len(data.vocabulary), data.extractor, classes)
    schedule = build_schedule(config)
    model.compile(build_optimizer(config, schedule))
    init_from_run(model, config, run, {"vocabulary.json": (data.vocabulary, weights_of_words(model))})
    init_from_vectors(model.embedding, config.embeddings, run, data.vocabulary.symbols, "words")
    print_summary(config, data, train_batches, model)
    captioner = PhotoCaptioner(model, data.extractor, data.vocabulary, config.max_length)
    trainer.Trainer(
        model,
        run,
        callbacks=[CaptionSamples(run, captioner, data.validation)],
        schedule=schedule,
        **config.loop_settings(),
    ).fit(partial(train_batches, config.seed), validation_batches(config.seed, 0))
    draw_figures(run, data.validation, math.log(len(data.vocabulary)), classes)
    return run


def weights_of_words(model: Captioner) -> list[tuple[keras.Variable, int]]:
    """Return the weights that have a row or a column for each word, with that axis."""
    heads = [model.deep_output.logits, *([model.auxiliary_logits] if isinstance(model, SceneCaptioner) else [])]
    return [(model.embedding.embeddings, 0)] + [pair for head in heads for pair in ((head.kernel, 1), (head.bias, 0))]


def print_summary(config: Config, data: Data, batches: CaptionBatches, model: keras.Model) -> None:
    """Print the sizes of data, vocabulary and model."""
    weights = sum(math.prod(weight.shape) for weight in model.trainable_weights)
    echo(
        f"{config.data}: {len(data.train):,} images with {len(batches.lengths):,} captions to train on, "
        f"{len(data.validation):,} images to validate, {len(data.vocabulary):,} words; uniform guess: "
        f"a loss of {math.log(len(data.vocabulary)):.3f} nats a word\n"
        f"image encoder {config.encoder}, LSTM {config.units} with attention, {weights:,} weights to learn"
    )
