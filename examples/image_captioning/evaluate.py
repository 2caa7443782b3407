"""Step 5, continued: the metrics of the trained model on held-out photos.

Captions are generated: each word follows from the words generated before. (*Teacher forcing* gives the model the true
words before each word; the numbers are better, and mean little, because in use nobody knows these words.)
"""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from common.data.skipped import SkippedExamples
from common.errors import UserError
from common.training.run_directory import RunDirectory
from examples.image_captioning.config import LENGTH_PENALTY, Config, EvaluateOptions
from examples.image_captioning.data import PhotoSet, data_fingerprint, load_photos, load_split
from examples.image_captioning.demo import Caption, Classes, PhotoCaptioner
from examples.image_captioning.download.image_files import Photo
from examples.image_captioning.download.toy_scenes import SHAPES, SIZE
from examples.image_captioning.metrics import pointing
from examples.image_captioning.metrics.caption_metrics import RULE, compute_metrics
from examples.image_captioning.model import Captioner
from examples.image_captioning.scene_captioner import SceneCaptioner

SEARCHES = {"greedy": 1, "beam": 3}  # hypotheses
_BATCH = 50  # photos captioned at once


def evaluate(options: EvaluateOptions, classes: Classes = (Captioner, SceneCaptioner)) -> dict[str, Any]:
    """Measure the best checkpoint of a run on a split and return the metrics.

    Raises:
        UserError: no checkpoint, or the data is not what the model was trained on.
    """
    started = time.monotonic()
    run = RunDirectory.open(options.run, Config.EXAMPLE)
    config = Config.from_settings(run.read_config().settings)
    captioner = PhotoCaptioner.load(run, classes)
    photos, split = photos_to_measure(run, config, captioner, options), options.split
    max_skipped = (config if options.test_data is None else options.for_test_data(config)).max_skipped
    measured = load_split(photos, split, captioner.extractor, options.features_dir, max_skipped)
    metrics: dict[str, Any] = {}
    captions: list[Caption] = []
    for name, beam in SEARCHES.items():
        captions = caption_photos(captioner, measured, beam)
        metrics[name] = compute_metrics([caption.words for caption in captions], measured.captions())
    categories, named = pointing.COCO_CATEGORIES, "a person or one of COCO's categories"
    if config.data == "tiny":
        categories, named = SHAPES, "a shape"
    if (peak := mean_peak(captions, categories)) is not None:
        metrics["attention_peak"] = peak
    rule = (
        f"{RULE}; free-running, greedy and beam 3 (length exponent {LENGTH_PENALTY}), captions of "
        f"up to {config.max_length} words; float32; best epoch by validation loss. attention_peak, in multiples of "
        f"uniform attention: mean over the words of beam captions that name {named}"
    )
    if config.data == "tiny" and options.test_data is None:
        metrics["exact_match"] = exact_match(captions, measured.photos)
        metrics |= pointing_on_scenes(captions, measured.photos)
        rule = f"{rule}. exact_match: the beam caption is one of the scene's true descriptions"
    if options.boxes is not None:
        metrics |= pointing_on_photos(captioner, options.boxes)
    if "pointing" in metrics:
        rule = (
            f"{rule}. pointing: share of those words for which the attention's peak is in a box of what is named, if "
            "it is in the photo; chance: the boxes' share of the photo; centre: the photo's centre is in a box; "
            "error: standard error of the lead over the centre, between photos; difficult: of objects that cover less "
            "than a quarter of the photo and have others beside them"
        )
    if options.write:
        run.write_evaluation(options.split, rule, time.monotonic() - started, metrics, options.test_data)
    return metrics


def photos_to_measure(
    run: RunDirectory, config: Config, captioner: PhotoCaptioner, options: EvaluateOptions
) -> list[Photo]:
    """Return photos, those to measure in the split of `options`: of the training data, or all of the test data.

    If the test data has a part `test`, only its photos are returned.

    Raises:
        UserError: as `load_photos`; or the data is not what the model was trained on.
    """
    if options.test_data is not None:
        config = options.for_test_data(config)
        photos = load_photos(options.test_data, config.images, options.data_dir, config.encoding, config.max_skipped)
        chosen = [photo for photo in photos if photo.split == "test"] or photos
        return [replace(photo, split=options.split) for photo in chosen]
    data = run.data_to_use(options.data, Config.DATA_SETS)
    photos = load_photos(data, config.images, options.data_dir, config.encoding, config.max_skipped)
    run.require_training_data(data_fingerprint(photos, captioner.extractor), data)
    return photos


def caption_photos(captioner: PhotoCaptioner, photos: PhotoSet, beam: int) -> list[Caption]:
    """Return the caption of every photo of a set, found by beam search."""
    indices = np.arange(len(photos))
    return [
        caption
        for start in range(0, len(photos), _BATCH)
        for caption in captioner.caption(photos.read(indices[start : start + _BATCH]), beam)
    ]


def mean_peak(captions: Sequence[Caption], categories: Sequence[str]) -> float | None:
    """Return the mean peak of the attention for words that name `categories`, relative to uniform; None for none."""
    peaks = [
        grid.max() * grid.size
        for caption in captions
        for word, grid in zip(caption.words, caption.attention, strict=True)
        if pointing.category_of(word, categories)
    ]
    return float(np.mean(peaks)) if peaks else None


def exact_match(captions: Sequence[Caption], photos: Sequence[Photo]) -> float:
    """Return the fraction of photos whose generated caption is one of the true ones, word for word."""
    return float(np.mean([caption.text in photo.captions for caption, photo in zip(captions, photos, strict=True)]))


def pointing_on_scenes(captions: Sequence[Caption], photos: Sequence[Photo]) -> dict[str, float]:
    """Play the pointing game on drawn scenes."""
    game = pointing.PointingGame()
    for caption, photo in zip(captions, photos, strict=True):
        boxed = pointing.BoxedPhoto(photo.name, (SIZE, SIZE), photo.source.boxes())
        game.update(boxed, caption.words, caption.attention)
    return game.results()


def pointing_on_photos(captioner: PhotoCaptioner, instances: Path) -> dict[str, float]:
    """Play the pointing game on the photos of a file of COCO's instances, `instances_PART.json` beside `../PART/`.

    Raises:
        UserError: the file cannot be read, or none of its photos is there.
    """
    folder = instances.parent.parent / instances.stem.removeprefix("instances_")
    game, skipped = pointing.PointingGame(), SkippedExamples()
    boxed = pointing.read_coco_boxes(instances)
    for photo in boxed:
        try:
            _, caption = captioner.caption_file(folder / photo.name, SEARCHES["beam"])
        except UserError as error:
            skipped.add(error)
            continue
        game.update(photo, caption.words, caption.attention)
    if len(skipped.reasons) == len(boxed):
        raise UserError(f"{folder}: no photo of {instances.name} can be read there ({skipped.reasons[:1]})")
    return game.results()
