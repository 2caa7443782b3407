"""A folder of one's own photos with a list of captions in one of several formats, checked entry by entry.

The list is one of these:

- `captions.json`: `[{"image": "photos/0001.jpg", "captions": ["A dog on a beach.", "A wet dog."], "split": "train"}]`
- `captions.tsv`, `.csv` or `.txt`: a table as in `caption_table.py`
- the annotations of COCO: `{"images": [{"id", "file_name"}], "annotations": [{"image_id", "caption"}]}`

A photo may have several entries. Where no split is given, about one photo in ten validates.
"""

import itertools
import json
import os
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from common.data.skipped import SkippedExamples
from common.data.splits import SPLIT_NAMES
from common.data.text_files import read_text_file
from common.errors import UserError
from examples.image_captioning.download.caption_table import read_table
from examples.image_captioning.download.image_files import Photo, split_by_name

LISTINGS = (
    ("captions.json", "captions.tsv", "captions.csv", "captions.txt", "results.csv", "flickr8k.token.txt"),
    ("*captions*.json",),
    ("*.token*",),
)
"""Names of lists of captions, in lower case: that of the first group which is in a folder, or in a folder in it."""


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
    entries = _read_json(text, listing) if listing.suffix.lower() == ".json" else read_table(text, listing)
    photos: dict[str, Photo] = {}
    folder = _folder_of_photos(folder, entries)
    for number, entry in enumerate(entries, start=1):
        try:
            photo = _photo(entry, folder)
            known = photos.setdefault(photo.name, photo)
            if known.split != photo.split:
                raise UserError(f"{photo.name}: listed for {known.split} and for {photo.split}")
            if known is not photo:
                photos[photo.name] = replace(known, captions=[*known.captions, *photo.captions])
        except UserError as error:
            skipped.add(f"{listing.name}: entry {number}: {error}")
    if not photos:
        raise UserError(f"{listing}: no photo with captions in it" + "".join(f"; {r}" for r in skipped.reasons[:1]))
    return list(photos.values())


def _find_listing(folder: Path) -> Path:
    for depth, names in itertools.product(("*", "*/*"), LISTINGS):
        found = [
            path
            for path in sorted(folder.glob(depth))
            if any(fnmatchcase(path.name.lower(), name) for name in names)
            and not path.name.startswith(".")
            and path.is_file()
            and not path.is_symlink()
        ]
        if len(found) > 1:
            listed = ", ".join(str(path.relative_to(folder)) for path in found[:5])
            raise UserError(f"{folder}: several lists of captions ({listed}); name one of them in place of the folder")
        if found:
            return found[0]
    raise UserError(
        f"{folder}: expected a captions.json, captions.tsv, captions.csv or captions.txt in it; write one "
        "(train --help shows how), or name the list itself"
    )


def _folder_of_photos(folder: Path, entries: Sequence[object]) -> Path:
    """Return `folder`, or the folder in it or beside it that holds most of the first photos."""
    names = [str(entry.get("image")) for entry in entries[:20] if isinstance(entry, dict)]
    places = [folder, *_folders_in(folder)]
    if folder.name == "annotations":  # only then, because the folder above may not be readable
        places += _folders_in(folder.parent)
    return max(places, key=lambda place: sum(os.path.isfile(place / name) for name in names))  # the first of equals


def _folders_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.is_symlink())


def _read_json(text: str, listing: Path) -> list[object]:
    try:
        entries = json.loads(text)
        if isinstance(entries, dict) and {"images", "annotations"} <= entries.keys():
            entries = [{"image": image, "captions": texts} for image, texts in coco_captions(entries).items()]
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


def _photo(entry: object, folder: Path) -> Photo:
    name = entry.get("image") if isinstance(entry, dict) else None
    if not isinstance(name, str) or not name:
        raise UserError(f"expected {{image, captions, split}}, got {json.dumps(entry)[:80]}")
    captions = entry.get("captions", entry.get("caption"))
    if isinstance(captions, str):
        captions = [captions]
    if not isinstance(captions, list) or not all(isinstance(caption, str) for caption in captions):
        raise UserError(f"{name}: expected captions as a list of strings, got {json.dumps(captions)[:80]}")
    captions = [caption for caption in captions if caption.strip()]
    if not captions:
        raise UserError(f"{name}: no caption")
    path, decomposed = folder / name, folder / unicodedata.normalize("NFD", name)  # as macOS writes accents
    try:
        "".join([name, *captions]).encode()
        path = decomposed if decomposed.exists() and not path.exists() else path
        is_inside = path.resolve().is_relative_to(folder.resolve())
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(f"{name!r}: no name or caption that can be written ({error})") from error
    if not is_inside:
        raise UserError(f"{name}: leads out of {folder}, where nothing is read")
    split = str(entry.get("split") or split_by_name(name))
    if split.casefold() not in SPLIT_NAMES:
        raise UserError(f"{name}: expected the split train, validation or test, got {split!r}")
    return Photo(name, captions, SPLIT_NAMES[split.casefold()], path)
