"""Word vectors that others have trained: word2vec, GloVe and fastText in their text form.

A line holds a word and its numbers, with spaces between. word2vec and fastText begin with a line of two numbers, how
many words there are and the width.
"""

import gzip
import itertools
import zlib
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from common.errors import UserError
from common.io.files import open_plain

_MAX_LINE_BYTES = 1 << 18


def read_vectors(path: Path, words: Sequence[str], width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the vectors of `words`, float32 [V, E] where E is `width`, and whether the file has each, bool [V].

    A word that the file has only in lower case gets that vector. The vectors found are scaled to a root mean square of
    1, as that of an embedding that starts as N(0, 1). The file may be compressed (`.gz`).

    Raises:
        UserError: the file is missing, not in this form, or of another width.
    """
    wanted = {*words, *map(str.lower, words)}
    table: dict[str, np.ndarray] = {}
    for word, vector in _lines(path, width, wanted):
        table.setdefault(word, vector)
    vectors, found = np.zeros([len(words), width], "float32"), np.zeros(len(words), bool)
    for number, word in enumerate(words):
        vector = table.get(word, table.get(word.lower()))
        if vector is not None:
            vectors[number], found[number] = vector, True
    if found.any():
        vectors /= np.sqrt(np.mean(vectors[found] ** 2)) or 1.0
    return vectors, found


def _lines(path: Path, width: int, wanted: Collection[str]) -> Iterator[tuple[str, np.ndarray]]:
    """Yield each wanted word with its vector, float32 [E]."""
    with _opened(path) as file:
        for number in itertools.count(1):
            try:
                line = file.readline(_MAX_LINE_BYTES)
            except (EOFError, zlib.error, gzip.BadGzipFile) as error:
                raise UserError(f"{path}: damaged ({error}); fetch it again") from error
            if not line:
                return
            word, *values = line.decode("utf-8", "replace").rstrip().rsplit(" ", width)
            if number == 1:
                if len(values) == 1 and word.isdecimal() and values[0].isdecimal():
                    _require_width(path, int(values[0]), width)
                    continue
                _require_width(path, len(line.split()) - 1, width)
            if word not in wanted:
                continue
            try:
                vector = np.array(values, "float32")
            except ValueError:
                vector = np.empty(0)
            if vector.shape != (width,) or not np.isfinite(vector).all():
                raise UserError(
                    f"{path}: line {number}: expected a word and {width} numbers, got {line[:60]!r}; the file is "
                    "damaged, or not word2vec, GloVe or fastText in text form"
                )
            yield word, vector


def _opened(path: Path) -> BinaryIO:
    """Return the file, uncompressed if it is compressed.

    Raises:
        UserError: it is missing, or binary.
    """
    file = open_plain(path, follow_links=True)
    start = file.peek(4)[:4]
    if start[:2] == b"\x1f\x8b":
        return gzip.GzipFile(fileobj=file)
    if start == b"PK\x03\x04" or b"\0" in file.peek(4096)[:4096]:
        raise UserError(
            f"{path}: a zip archive or a binary file; expected word2vec, GloVe or fastText in text form (.txt, .vec or "
            "one of these with .gz): unpack it first"
        )
    return file


def _require_width(path: Path, got: int, expected: int) -> None:
    if got != expected:
        raise UserError(f"{path}: vectors of width {got}, expected {expected}; choose them with --embedding-dim {got}")
