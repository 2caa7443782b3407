"""The pointing game: whether the attention for a word points at the object that it names.

Good captions do not show that attention selects what the words name: a ball may be guessed from the lawn. The
pointing game counts a hit when a word names a category that is in the photo, and the peak of the attention, as drawn,
lies in a box of this category. Two baselines set the scale: a random point (its hits are the fraction of the photo
that the boxes cover) and the centre of the photo. Large objects are easy, so results are also counted for the
**difficult** ones (Zhang et al. 2016, arXiv:1608.00507): those that cover less than a quarter of the photo, with
other categories in it.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.data.text_files import read_text
from common.errors import UserError
from examples.image_captioning.demonstrate.attention_overlay import upsample
from examples.image_captioning.download.toy_scenes import Box

PEOPLE = frozenset({
    "person", "people", "man", "men", "woman", "women", "boy", "boys", "girl", "girls", "child", "children", "kid",
    "kids", "baby", "toddler", "lady", "guy", "player", "players", "skier", "snowboarder", "surfer", "skateboarder",
    "biker", "cyclist", "rider", "climber", "crowd",
})  # fmt: skip
SYNONYMS = {
    "bike": "bicycle", "motorbike": "motorcycle", "ball": "sports ball", "puppy": "dog", "plane": "airplane",
    "table": "dining table", "computer": "laptop", "television": "tv", "sofa": "couch", "plant": "potted plant",
    "racket": "tennis racket", "phone": "cell phone", "doughnut": "donut", "bat": "baseball bat",
}  # fmt: skip
COCO_CATEGORIES = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light",
    "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow", "elephant",
    "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee", "skis", "snowboard",
    "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard", "tennis racket", "bottle",
    "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple", "sandwich", "orange", "broccoli",
    "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch", "potted plant", "bed", "dining table", "toilet",
    "tv", "laptop", "mouse", "remote", "keyboard", "cell phone", "microwave", "oven", "toaster", "sink", "refrigerator",
    "book", "clock", "vase", "scissors", "teddy bear", "hair drier", "toothbrush",
)  # fmt: skip
_RASTER = 200  # the boxes' share of a picture is counted on so many by so many points


@dataclass(frozen=True)
class BoxedPhoto:
    """The size of a photo, in pixels, and for each kind of thing in it the boxes."""

    name: str
    size: tuple[int, int]
    boxes: Mapping[str, Sequence[Box]]


def category_of(word: str, categories: Iterable[str]) -> str | None:
    """Return the category that a word names, singular or plural, None if it names none of them."""
    categories = set(categories)
    if word in PEOPLE:
        return "person" if "person" in categories else None
    for singular in (word, word.removesuffix("s"), word.removesuffix("es")):
        category = SYNONYMS.get(singular, singular)
        if category in categories:
            return category
    return None


def read_coco_boxes(path: Path) -> list[BoxedPhoto]:
    """Return the photos of a file of COCO's instances.

    Raises:
        UserError: it is none.
    """
    try:
        content = json.loads(read_text(path))
        names = {category["id"]: str(category["name"]) for category in content["categories"]}
        boxes: dict[int, dict[str, list[Box]]] = {image["id"]: {} for image in content["images"]}
        for thing in content["annotations"]:
            left, top, width, height = map(float, thing["bbox"])
            of_kind = boxes[thing["image_id"]].setdefault(names[thing["category_id"]], [])
            of_kind.append((left, top, left + width, top + height))
        return [
            BoxedPhoto(str(image["file_name"]), (int(image["width"]), int(image["height"])), boxes[image["id"]])
            for image in content["images"]
        ]
    except (ValueError, LookupError, TypeError) as error:
        raise UserError(f"{path}: not in the format of COCO's instances ({error!r})") from error


class PointingGame:
    """Counts hits, and those of the two baselines, for all objects that are named and for the difficult ones."""

    def __init__(self):
        self.all_counts: dict[str, Counter[str]] = defaultdict(Counter)
        self.difficult_counts: dict[str, Counter[str]] = defaultdict(Counter)

    def update(self, photo: BoxedPhoto, words: Sequence[str], attention: np.ndarray) -> None:
        """Count the hits for each of the words of a caption that names an object in `photo`.

        `attention` are the weights for each word, float [words, rows, columns]; they cover the whole photo.
        """
        for word, grid in zip(words, attention, strict=True):
            category = category_of(word, photo.boxes)
            if category is None:
                continue
            width, height = photo.size
            row, column = np.unravel_index(np.argmax(upsample(grid, (_RASTER, _RASTER))), (_RASTER, _RASTER))
            place = ((column + 0.5) / _RASTER * width, (row + 0.5) / _RASTER * height)
            counts = {
                "named": 1,
                "hits": _is_inside(*place, photo.boxes[category]),
                "chance": _share(photo, category),
                "centre": _is_inside(width / 2, height / 2, photo.boxes[category]),
            }
            self.all_counts[photo.name].update(counts)
            if counts["chance"] < 0.25 and len(photo.boxes) > 1:
                self.difficult_counts[photo.name].update(counts)

    def results(self) -> dict[str, float | int]:
        """Return the shares of hits: `pointing`, and of the baselines `pointing_chance` and `pointing_centre`.

        Also `pointing_error`, the standard error of `pointing` less `pointing_centre`. What is pointed at in one photo
        hits or misses together, so it is the photos that are taken to be drawn at random, not the words. The same as
        `pointing_difficult` and so on for the difficult objects, if any was named. If none at all was, there is only
        `pointing_words`, which is 0.
        """
        if not self.all_counts:
            return {"pointing_words": 0}
        difficult = _shares("pointing_difficult", self.difficult_counts) if self.difficult_counts else {}
        return {**_shares("pointing", self.all_counts), **difficult}


def _shares(name: str, by_photo: Mapping[str, Counter[str]]) -> dict[str, float | int]:
    counts = sum(by_photo.values(), Counter())
    named = counts["named"]
    kinds = {name: "hits", f"{name}_chance": "chance", f"{name}_centre": "centre"}
    shares = {kind: float(counts[key] / named) for kind, key in kinds.items()}
    lead = shares[name] - shares[f"{name}_centre"]
    residuals = [of["hits"] - of["centre"] - lead * of["named"] for of in by_photo.values()]
    error = float(np.linalg.norm(residuals)) / named
    return {f"{name}_words": named, **shares, f"{name}_error": error}


def _is_inside(x: float, y: float, boxes: Sequence[Box]) -> bool:
    return any(left <= x <= right and top <= y <= bottom for left, top, right, bottom in boxes)


def _share(photo: BoxedPhoto, category: str) -> float:
    """Return the share of the photo that the boxes of a category cover together."""
    width, height = photo.size
    covered = np.zeros((_RASTER, _RASTER), bool)
    x, y = (np.arange(_RASTER) + 0.5) / _RASTER * width, (np.arange(_RASTER) + 0.5) / _RASTER * height
    for left, top, right, bottom in photo.boxes[category]:
        covered |= ((y >= top) & (y <= bottom))[:, None] & ((x >= left) & (x <= right))[None]
    return float(covered.mean())
