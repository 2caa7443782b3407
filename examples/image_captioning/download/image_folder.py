"""A folder of one's own photos with a list of captions in one of several formats, checked entry by entry.

The list is one of these:

- `captions.json`: `[{"image": "photos/0001.jpg", "captions": ["A dog on a beach.", "A wet dog."], "split": "train"}]`
- `captions.tsv`, `.csv` or `.txt`: a table as in `caption_table.py`
- the annotations of COCO: `{"images": [{"id", "file_name"}], "annotations": [{"image_id", "caption"}]}`
- `metadata.jsonl` of Hugging Face: `{"file_name": "0001.jpg", "text": "A dog on a beach."}` in each line

A photo may have several entries. Where no split is given, about one photo in ten validates.
"""

import itertools
import json
import os
import re
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
    ("captions.jsonl", "metadata.jsonl"),
)
"""Names of lists of captions, in lower case: that of the first group which is in a folder, or in a folder in it."""


def load_folder(path: Path, skipped: SkippedExamples, encoding: str | None = None) -> list[Photo]:
    """Return the photos that a folder's list of captions names; whether they exist is checked later.

    Args:
        path: the folder, or the list itself; photos are searched beside the list and in the folders beside it.
        skipped: gets the entries that cannot be used: no captions, no string, a path out of the folder, a web address.
        encoding: of the list; None for UTF-8, or what a byte order mark says.

    Raises:
        UserError: no list of captions, or one that cannot be read as such.
    """
    listing = _find_listing(path) if path.is_dir() else path
    folder = path if path.is_dir() else listing.parent
    text = read_text_file(listing, encoding)
    if not text.strip():
        raise UserError(f"{listing}: empty, expected photos and captions")
    is_json = listing.suffix.lower() in (".json", ".jsonl")
    entries = _read_json(text, listing) if is_json else read_table(text, listing)
    photos: dict[Path, Photo] = {}
    folders = _folders_of_photos(folder, entries)
    for number, entry in enumerate(entries, start=1):
        try:
            photo = _photo(entry, folders)
            known = photos.setdefault(photo.source, photo)  # `a.jpg` and `./a.jpg` have the same path
            if known.split != photo.split and photo.is_split_given:
                raise UserError(f"{photo.name}: listed for {known.split} and for {photo.split}")
            if known is not photo:
                photos[photo.source] = replace(known, captions=[*known.captions, *photo.captions])
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


def _folders_of_photos(folder: Path, entries: Sequence[object]) -> list[Path]:
    """Return `folder` and the folders in it or beside it; those that hold most of the first photos come first."""
    names = [str(entry.get("image")) for entry in entries[:20] if isinstance(entry, dict)]
    places = [folder, *_folders_in(folder)]
    if folder.name == "annotations":  # only then, because the folder above may not be readable
        places += _folders_in(folder.parent)
    return sorted(places, key=lambda place: -sum(os.path.isfile(place / name) for name in names))


def _folders_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.is_symlink())


def _read_json(text: str, listing: Path) -> list[object]:
    if listing.suffix.lower() == ".jsonl":
        text = "[" + ",\n".join(line for line in text.split("\n") if line.strip()) + "]"
    try:
        entries = json.loads(text)
        if isinstance(entries, dict) and {"images", "annotations"} <= entries.keys():
            entries = coco_entries(entries)
    except (ValueError, RecursionError, LookupError, TypeError) as error:
        raise UserError(f"{listing}: no list of captions ({error!r}); expected {_EXPECTED}") from error
    if not isinstance(entries, list):
        raise UserError(f"{listing}: expected {_EXPECTED}, got {type(entries).__name__}")
    return [{"image": entry.get("file_name")} | entry if isinstance(entry, dict) else entry for entry in entries]


_EXPECTED = "a list of {image, captions, split}, or COCO's images and annotations"


def coco_entries(content: dict[str, Any]) -> list[dict[str, Any]]:
    """Return {"image", "split", "captions"} for each image with captions in `content` of COCO's format, unchecked.

    If there are captions of an image that is missing, their entry has its "image_id" in place of "image" and "split".

    Raises:
        LookupError, TypeError: it is none.
    """
    images = {image["id"]: {"image": image["file_name"], "split": image.get("split")} for image in content["images"]}
    entries: dict[Any, dict[str, Any]] = {}
    for annotation in content["annotations"]:
        number = annotation["image_id"]
        entry = entries.setdefault(number, images.get(number, {"image_id": number}))
        entry.setdefault("captions", []).append(annotation["caption"])
    return [*entries.values()]


def _photo(entry: object, folders: Sequence[Path]) -> Photo:
    name = entry.get("image") if isinstance(entry, dict) else None
    if not isinstance(name, str) or not name:
        raise UserError(f"expected {{image, captions, split}}, got {json.dumps(entry)[:80]}")
    if re.match("https?:/", name):
        raise UserError(f"{name}: a web address; download the picture")
    captions = entry.get("captions", entry.get("caption", entry.get("text")))
    if isinstance(captions, str):
        captions = [captions]
    if not isinstance(captions, list) or not all(isinstance(caption, str) for caption in captions):
        raise UserError(f"{name}: expected captions as a list of strings, got {json.dumps(captions)[:80]}")
    captions = [caption for caption in captions if caption.strip()]
    if not captions:
        raise UserError(f"{name}: no caption")
    spellings = name, unicodedata.normalize("NFD", name), name.replace("\\", "/")  # as macOS and Windows write names
    places = ((folder, folder / spelling) for folder, spelling in itertools.product(folders, spellings))
    try:
        "".join([name, *captions]).encode()
        folder, path = next((place for place in places if os.path.isfile(place[1])), (folders[0], folders[0] / name))
        is_inside = path.resolve().is_relative_to(folder.resolve())
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(f"{name!r}: no name or caption that can be written ({error})") from error
    if not is_inside:
        raise UserError(f"{name}: leads out of {folder}, where nothing is read")
    given = entry.get("split")
    split = str(given or split_by_name(name))
    if split.casefold() not in SPLIT_NAMES:
        raise UserError(f"{name}: expected the split train, validation or test, got {split!r}")
    return Photo(name, captions, SPLIT_NAMES[split.casefold()], path, is_split_given=bool(given))
