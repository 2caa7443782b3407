"""A folder of one's own photos with a list of captions in one of several formats, checked entry by entry.

The list is one of these:

- `captions.json`: `[{"image": "photos/0001.jpg", "captions": ["A dog on a beach.", "A wet dog."], "split": "train"}]`
- `captions.tsv`, `.csv` or `.txt`: photo and caption in each line, as many lines for a photo as there are captions,
  with or without a header; `0001.jpg#0`, as Flickr's files have it, is the photo `0001.jpg`
- the annotations of COCO: `{"images": [{"id", "file_name"}], "annotations": [{"image_id", "caption"}]}`

Where no split is given, about one photo in ten validates.
"""

import csv
import json
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, get_args

from common.data.images import SUFFIXES
from common.data.skipped import SkippedExamples
from common.data.text_files import read_text_file
from common.errors import UserError
from examples.image_captioning.download.image_files import Photo, Split, split_by_name

LISTINGS = ("captions.json", "captions.tsv", "captions.csv", "captions.txt", "*captions*.json", "*.token*")
"""Names of lists of captions, the first that is found in a folder, or in a folder in it, is used."""
_SUFFIX = re.compile(r"#\w+$")  # the number of the caption, in Flickr's files


def load_folder(path: Path, skipped: SkippedExamples, encoding: str | None = None) -> list[Photo]:
    """Return the photos that a folder's list of captions names; whether they exist is checked later.

    Args:
        path: the folder, or the list itself; photos are searched beside the list and in the folders beside it.
        skipped: gets the entries that cannot be used: no captions, no string, a path out of the folder.
        encoding: of the list; None for UTF-8, or what a byte order mark says.

    Raises:
        UserError: no list of captions, or one that cannot be read as such.
    """
    listing = _find_listing(path) if path.is_dir() else path
    folder = path if path.is_dir() else listing.parent
    text = read_text_file(listing, encoding)
    if not text.strip():
        raise UserError(f"{listing}: empty, expected photos and captions")
    entries = _read_json(text, listing) if listing.suffix == ".json" else _read_table(text, listing)
    photos: dict[str, Photo] = {}
    folder = _folder_of_photos(folder, entries)
    for number, entry in enumerate(entries, start=1):
        try:
            photo = _photo(entry, folder)
            if photo.name in photos:
                raise UserError(f"{photo.name}: listed twice")
            photos[photo.name] = photo
        except UserError as error:
            skipped.add(f"{listing.name}: entry {number}: {error}")
    if not photos:
        raise UserError(f"{listing}: no photo with captions in it" + "".join(f"; {r}" for r in skipped.reasons[:1]))
    return list(photos.values())


def _find_listing(folder: Path) -> Path:
    for pattern in (*LISTINGS, *(f"*/{name}" for name in LISTINGS)):
        for path in sorted(folder.glob(pattern)):
            if path.is_file():
                return path
    raise UserError(
        f"{folder}: expected a captions.json, captions.tsv, captions.csv or captions.txt in it; write one "
        "(train --help shows how), or name the list itself"
    )


def _folder_of_photos(folder: Path, entries: Sequence[object]) -> Path:
    """Return `folder`, or the folder in it or beside it that holds most of the first photos."""
    names = [str(entry.get("image")) for entry in entries[:20] if isinstance(entry, dict)]
    inside = sorted(path for path in folder.iterdir() if path.is_dir() and not path.is_symlink())
    beside = sorted(path for path in folder.parent.iterdir() if path.is_dir() and not path.is_symlink())
    places = [folder, *inside, *(beside if folder.name == "annotations" else ())]
    return max(places, key=lambda place: sum(os.path.isfile(place / name) for name in names))  # the first of equals


def _read_json(text: str, listing: Path) -> list[object]:
    try:
        entries = json.loads(text)
        if isinstance(entries, dict) and {"images", "annotations"} <= entries.keys():
            entries = list(_entries(coco_captions(entries)))
    except (ValueError, RecursionError, LookupError, TypeError) as error:
        raise UserError(f"{listing}: no list of captions ({error!r}); expected {_EXPECTED}") from error
    if not isinstance(entries, list):
        raise UserError(f"{listing}: expected {_EXPECTED}, got {type(entries).__name__}")
    return entries


_EXPECTED = "a list of {image, captions, split}, or COCO's images and annotations"


def coco_captions(content: dict[str, Any]) -> dict[str, list[str]]:
    """Return the captions of each file name in `content` of COCO's format; neither is checked to be a text.

    Raises:
        LookupError, TypeError: it is none.
    """
    names = {image["id"]: image["file_name"] for image in content["images"]}
    captions: dict[str, list[str]] = {}
    for annotation in content["annotations"]:
        captions.setdefault(names[annotation["image_id"]], []).append(annotation["caption"])
    return captions


def _read_table(text: str, listing: Path) -> list[object]:
    lines = [line for line in text.split("\n") if line.strip()]
    delimiter = next((mark for mark in "\t|," if mark in lines[0]), "\t")
    rows = [line.partition(delimiter)[::2] for line in lines]
    if delimiter == ",":  # as in Kaggle's Flickr8k, where a caption with a comma may or may not be quoted
        try:
            rows = [(row[0], ",".join(row[1:])) for row in csv.reader(lines) if row]
        except csv.Error as error:
            raise UserError(f"{listing}: no CSV ({error}); write it anew, or as TSV") from error
    if len(rows) > 1 and rows[0][1] and not _has_image_suffix(rows[0][0]) and _has_image_suffix(rows[1][0]):
        rows = rows[1:]  # without the header
    captions: dict[str, list[str]] = {}
    for image, caption in rows:
        number, mark, rest = caption.partition(delimiter)
        caption = rest if mark and number.strip().isdecimal() else caption  # Flickr30k's table numbers the captions
        captions.setdefault(_SUFFIX.sub("", image.strip()), []).extend([caption.strip()] if caption else [])
    return list(_entries(captions))


def _has_image_suffix(name: str) -> bool:
    return Path(_SUFFIX.sub("", name.strip())).suffix.lower() in SUFFIXES


def _entries(captions: dict[str, list[str]]) -> Iterable[object]:
    return ({"image": image, "captions": texts} for image, texts in captions.items())


def _photo(entry: object, folder: Path) -> Photo:
    name = entry.get("image") if isinstance(entry, dict) else None
    if not isinstance(name, str) or not name:
        raise UserError(f"expected {{image, captions, split}}, got {json.dumps(entry)[:80]}")
    captions = entry.get("captions")
    if isinstance(captions, str):
        captions = [captions]
    if not isinstance(captions, list) or not all(isinstance(caption, str) for caption in captions):
        raise UserError(f"{name}: expected captions as a list of strings, got {json.dumps(captions)[:80]}")
    captions = [caption for caption in captions if caption.strip()]
    if not captions:
        raise UserError(f"{name}: no caption")
    path = folder / name
    try:
        "".join([name, *captions]).encode()
        is_inside = path.resolve().is_relative_to(folder.resolve())
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(f"{name!r}: no name or caption that can be written ({error})") from error
    if not is_inside:
        raise UserError(f"{name}: leads out of {folder}, where nothing is read")
    split = entry.get("split") or split_by_name(name)
    split = "validation" if split in ("val", "dev") else split
    if split not in get_args(Split):
        raise UserError(f"{name}: expected the split train, validation or test, got {split!r}")
    return Photo(name, captions, split, path)
