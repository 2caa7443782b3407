"""A folder of one's own photos with captions.json or captions.tsv, checked entry by entry.

The JSON file is a list:

```json
[{"image": "photos/0001.jpg", "captions": ["A dog on a beach.", "A wet dog."], "split": "train"}]
```

The TSV file has two columns, photo and caption, and as many lines for a photo as there are captions. Where no split
is given, one photo in ten validates.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from common.data.text_files import read_text
from common.errors import UserError
from examples.image_captioning.download.image_files import Photo, SkippedExamples, Split, split_by_name

JSON_FILE, TSV_FILE = "captions.json", "captions.tsv"


def load_folder(path: Path, skipped: SkippedExamples) -> list[Photo]:
    """Return the photos that a folder's list of captions names; whether they exist is checked later.

    Args:
        path: the folder, or the list itself; photos are named relative to the folder of the list.
        skipped: gets the entries that cannot be used: no captions, no string, a path out of the folder.

    Raises:
        UserError: no list of captions, or one that cannot be read as such.
    """
    listing = path
    if path.is_dir():
        listing = next((path / name for name in (JSON_FILE, TSV_FILE) if (path / name).is_file()), path / JSON_FILE)
    if not listing.is_file():
        raise UserError(f"{path}: expected a {JSON_FILE} or a {TSV_FILE} in it; write one (train --help shows how)")
    entries = _read_tsv(listing) if listing.suffix == ".tsv" else _read_json(listing)
    photos: dict[str, Photo] = {}
    for number, entry in enumerate(entries, start=1):
        try:
            photo = _photo(entry, listing.parent)
            if photo.name in photos:
                raise UserError(f"{photo.name}: listed twice")
            photos[photo.name] = photo
        except UserError as error:
            skipped.add(f"{listing.name}: entry {number}: {error}")
    if not photos:
        raise UserError(f"{listing}: no photo with captions in it" + "".join(f"; {r}" for r in skipped.reasons[:1]))
    return list(photos.values())


def _read_json(listing: Path) -> list[object]:
    try:
        entries = json.loads(read_text(listing))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{listing}: no JSON ({error}); expected a list of {{image, captions, split}}") from error
    if not isinstance(entries, list):
        raise UserError(f"{listing}: expected a list of {{image, captions, split}}, got {type(entries).__name__}")
    return entries


def _read_tsv(listing: Path) -> Iterator[object]:
    captions: dict[str, list[str]] = {}
    for line in read_text(listing).split("\n"):
        image, tab, caption = line.partition("\t")
        if line.strip():
            captions.setdefault(image.strip(), []).extend([caption] if tab else [])
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
