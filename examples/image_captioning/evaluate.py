# %% [markdown]
# ## Step 5: measure
#
# Captions are made freely, each word from the words that the model said itself. (To show the model the true beginning
# and score the next word, *teacher forcing*, gives fine numbers that mean little: nobody whispers the beginning in
# use.)

# %%
"""Step 5, continued: what the trained model is worth on photos that it never saw."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import UserError
from common.training.run_directory import RunDirectory

# %% tags=["module"]
from examples.image_captioning.config import Config
from examples.image_captioning.data import PhotoSet, data_fingerprint, load_photos, load_split
from examples.image_captioning.demo import Described, PhotoCaptioner, Search
from examples.image_captioning.photos import LeftOut, Photo, Split
from examples.image_captioning.pointing import COCO_CATEGORIES, BoxedPhoto, PointingGame, category_of, read_coco_boxes
from examples.image_captioning.scenes import SHAPES, SIZE
from examples.image_captioning.scores import RULE, score

# %%
SEARCHES = {"greedy": Search(beam=1), "beam": Search(beam=3)}
_BATCH = 50  # photos described at once


def evaluate(
    run: RunDirectory,
    split: Split = "validation",
    data: str | None = None,
    data_dir: Path | None = None,
    features_dir: Path | None = None,
    boxes: Path | None = None,
    write: bool = True,
) -> dict[str, Any]:
    """Measure the best checkpoint on a split and return the metrics.

    Args:
        run: a trained run.
        split: "validation" or "test".
        data: what data it was trained on; None to take that from the run, see `RunDirectory.data_to_use`.
        data_dir: the download cache; None for the default one.
        features_dir: where features are kept; None for the user's cache folder.
        boxes: a file of COCO's instances beside the folder of its photos, for the pointing game.
        write: write `evaluation.json`.

    Raises:
        UserError: no checkpoint, or the data is not what the model was trained on.
    """
    started = time.monotonic()
    trained = run.read_config()
    config = Config.from_settings(trained.settings)
    data = run.data_to_use(data, Config.DATA_SETS)
    captioner = PhotoCaptioner.load(run)
    photos = load_photos(data, config.images, data_dir)
    if data_fingerprint(photos, captioner.encoder) != trained.data:
        raise UserError(f"{data}: not the data that {run.path} was trained on; name that with --data")
    measured = load_split(photos, split, captioner.encoder, features_dir)
    metrics: dict[str, Any] = {}
    described: list[Described] = []
    for name, search in SEARCHES.items():
        described = describe(captioner, measured, search)
        metrics[name] = score([one.words for one in described], measured.captions())
    metrics["attention_peak"] = mean_peak(described)
    rule = (
        f"{RULE}; free-running, greedy and beam 3 (length exponent {Search().length_penalty}), captions of up "
        f"to {config.most_words} words; best epoch by validation loss. attention_peak: mean over the words of beam "
        "captions that name a person or one of COCO's categories, in multiples of uniform attention"
    )
    if config.data == "tiny":
        metrics["exact_match"] = exact_match(described, measured.photos)
        metrics |= play_on_scenes(described, measured.photos)
        rule = f"{rule}, here a shape. exact_match: the beam caption is one of the scene's true descriptions"
    if boxes is not None:
        metrics |= play_on_photos(captioner, boxes)
    if "pointing" in metrics:
        rule = (
            f"{rule}. pointing: share of those words for which the attention's peak is in a box of what is named, if "
            "it is in the photo; chance: the boxes' share of the photo; centre: the photo's centre is in a box; "
            "error: standard error of the lead over the centre, between photos; difficult: of things that cover less "
            "than a quarter of the photo and have others beside them"
        )
    if write:
        run.write_evaluation(split, rule, time.monotonic() - started, metrics)
    return metrics


def describe(captioner: PhotoCaptioner, photos: PhotoSet, search: Search) -> list[Described]:
    """Return the description of every photo of a set."""
    numbers = np.arange(len(photos))
    return [
        described
        for start in range(0, len(photos), _BATCH)
        for described in captioner.caption(photos.read(numbers[start : start + _BATCH]), search)
    ]


def mean_peak(described: Sequence[Described]) -> float:
    """Return the mean peak of the attention for words that name things, in multiples of uniform; 0 if none does."""
    peaks = [
        grid.max() * grid.size
        for one in described
        for word, grid in zip(one.words, one.attention, strict=True)
        if category_of(word, COCO_CATEGORIES + SHAPES)
    ]
    return float(np.mean(peaks)) if peaks else 0.0


def exact_match(described: Sequence[Described], photos: Sequence[Photo]) -> float:
    """Return the share of photos whose description is one of its captions, word for word."""
    return float(np.mean([one.text in photo.captions for one, photo in zip(described, photos, strict=True)]))


def play_on_scenes(described: Sequence[Described], photos: Sequence[Photo]) -> dict[str, float]:
    """Play the pointing game on drawn scenes."""
    game = PointingGame()
    for one, photo in zip(described, photos, strict=True):
        boxed = BoxedPhoto(photo.name, (SIZE, SIZE), photo.source.boxes())
        game.play(boxed, one.words, one.attention)
    return game.results()


def play_on_photos(captioner: PhotoCaptioner, instances: Path) -> dict[str, float]:
    """Play the pointing game on the photos of a file of COCO's instances, `instances_PART.json` beside `../PART/`.

    Raises:
        UserError: the file cannot be read, or none of its photos is there.
    """
    folder = instances.parent.parent / instances.stem.removeprefix("instances_")
    game, left_out = PointingGame(), LeftOut()
    boxed = read_coco_boxes(instances)
    for photo in boxed:
        try:
            _, described = captioner.caption_file(folder / photo.name, SEARCHES["beam"])
        except UserError as error:
            left_out.add(error)
            continue
        game.play(photo, described.words, described.attention)
    if len(left_out.reasons) == len(boxed):
        raise UserError(f"{folder}: no photo of {instances.name} can be read there ({left_out.reasons[:1]})")
    return game.results()
