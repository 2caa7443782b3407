"""Captions from a table, with or without a header: a row for each caption, or a row a photo with several captions.

Without a header the first column is the photo. A column of whole numbers after it, and a last column of nothing but
train, validation, test and empty cells, are the caption's number and the split; the rest is captions. A header names
its columns: the photo (image, photo, file ...), `split`, and captions (caption, comment, text ...).
"""

import re
from collections.abc import Sequence
from pathlib import Path

from common.data.images import SUFFIXES
from common.data.splits import SPLIT_NAMES
from common.data.text_files import read_csv
from common.errors import UserError

_PICTURES = SUFFIXES | {".heic", ".heif", ".avif"}  # the last three name a photo, although they are not read
_IMAGE = re.compile("image|photo|picture|file|path")
_CAPTION = re.compile(r"(caption|comment|description|sentence|text)s?([ _]?\d+)?")
_NUMBER_OF_CAPTION = re.compile(r"#\w+$")  # in Flickr's files, `0001.jpg#0` is a caption of the photo `0001.jpg`


def read_table(text: str, listing: Path) -> list[dict]:
    """Return an entry {"image", "captions", "split"} for each photo of a table.

    Raises:
        UserError: it is empty or no CSV, or no column has captions, or several may and none is called so.
    """
    rows, delimiter = _split_rows(text, listing)
    if not rows:
        raise UserError(f"{listing}: empty, expected photos and captions")
    if _has_header(rows):
        names, rows = [name.strip().casefold() for name in rows[0]], rows[1:]
        image = _image_column(names, rows[0])
    else:
        names, image = _infer_names(rows, delimiter), 0
    columns = range(len(names))
    split = names.index("split") if "split" in names else None
    whole = [row for row in rows if len(row) == len(names)]
    numbers = [column for column in columns if whole and all(row[column].strip().isdecimal() for row in whole)]
    texts = [column for column in columns if column not in (image, split, *numbers)]
    for matches in (_CAPTION.match, _CAPTION.fullmatch):  # `caption` alone, if there is `caption_id` beside it
        texts = [column for column in texts if matches(names[column])] or texts
    named = [names[column] for column in texts if names[column]]
    if not texts or (len(named) > 1 and not any(map(_CAPTION.match, named))):
        raise UserError(
            f"{listing}: no column of captions among {', '.join(names)}; call it caption, and that of the photos image"
        )
    captions: dict[tuple[str, str | None], list[str]] = {}
    for row in rows:
        row = _join_cut_caption(row, texts[0], len(names), delimiter)
        photo = _NUMBER_OF_CAPTION.sub("", row[image]), None if split is None else row[split]
        captions.setdefault(photo, []).extend(row[column] for column in texts if row[column])
    return [{"image": image, "captions": texts, "split": split} for (image, split), texts in captions.items()]


def _split_rows(text: str, listing: Path) -> tuple[list[list[str]], str]:
    """Return the cells of the rows that are not blank, and the delimiter.

    It is the tab if the first row has one, else the delimiter that comes first in it.
    """
    head = text.lstrip("\n").partition("\n")[0]
    delimiter = "\t" if "\t" in head else min((mark for mark in "|;," if mark in head), key=head.index, default="\t")
    is_quoted = all(re.fullmatch('".*"', cell) for cell in head.split(delimiter))
    # Quotes count in CSV. In a list of lines with tabs or bars, a caption may begin with one, unless all cells do.
    if delimiter in "\t|" and not is_quoted:
        rows = [line.split(delimiter) for line in text.split("\n")]
    else:
        rows = read_csv(text, listing, delimiter)
    return [row for row in rows if any(map(str.strip, row))], delimiter


def _has_header(rows: Sequence[Sequence[str]]) -> bool:
    """Return whether the first row names the columns.

    It does if none of its cells names a picture, and one is called as captions are, or one below it names a picture.
    """
    if len(rows) < 2 or len(rows[0]) < 2 or any(map(_is_image, rows[0])):
        return False
    return any(_CAPTION.fullmatch(name.strip().casefold()) for name in rows[0]) or any(map(_is_image, rows[1]))


def _is_image(cell: str) -> bool:
    return Path(_NUMBER_OF_CAPTION.sub("", cell.strip())).suffix.lower() in _PICTURES


def _image_column(names: Sequence[str], row: Sequence[str]) -> int:
    """Return the column whose cell in `row` names a picture, or whose name says so; best both."""
    columns = range(min(len(names), len(row)))
    return max(columns, key=lambda column: (_is_image(row[column]), bool(_IMAGE.match(names[column]))))


def _infer_names(rows: Sequence[Sequence[str]], delimiter: str) -> list[str]:
    """Return the names of the columns of a table without a header.

    With commas or semicolons there is one caption a row, because it may hold them without quotes.
    """
    most = max(map(len, rows))
    number = ["number"] * all(len(row) > 2 and row[1].strip().isdecimal() for row in rows)
    last = {row[-1].strip().casefold() if len(row) > 2 else "" for row in rows}
    split = ["split"] * (bool(last & SPLIT_NAMES.keys()) and last <= {"", *SPLIT_NAMES})
    captions = most - 1 - len(number) - len(split) if delimiter in "\t|" else 1
    return ["image", *number, *["caption"] * max(1, captions), *split]


def _join_cut_caption(row: Sequence[str], caption: int, columns: int, delimiter: str) -> list[str]:
    """Return a row with so many `columns`; a caption with delimiters in it was cut into several cells."""
    end = len(row) - (columns - caption - 1)
    row = [*row[:caption], delimiter.join(row[caption:end]), *row[end:]] if len(row) > columns else row
    return [*map(str.strip, row), *[""] * (columns - len(row))]
