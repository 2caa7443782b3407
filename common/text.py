"""Text in, integers out: reading UTF-8 strictly, normalising it, and the vocabulary that is saved with the run."""

import json
import re
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from common.errors import UserError
from common.files import plain_files, read_plain, write_atomically
from common.records import Line, read_record

_MAX_VOCABULARY_BYTES = 1 << 26
_MAX_TEXT_BYTES = 1 << 32
_MAX_MARKS = 64  # combining marks in a row; of real text the Unicode standard (UAX 15) expects at most 30
_MARKS = "".join(re.escape(c) for c in map(chr, range(sys.maxunicode + 1)) if unicodedata.combining(c))
_TOO_MANY_MARKS = re.compile(f"[{_MARKS}]{{{_MAX_MARKS + 1}}}")


def normalise(text: str) -> str:
    """Return `text` in Unicode NFC, with `\\n` line ends and no byte order mark: equal texts become equal strings.

    Raises:
        UserError: more combining marks in a row than any language has: sorting them takes time that grows with their
            square.
    """
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    if not text.isascii() and (marks := _TOO_MANY_MARKS.search(text)):
        line = text.count("\n", 0, marks.start()) + 1
        raise UserError(f"line {line}: more than {_MAX_MARKS} combining marks in a row, which is no text; delete them")
    return unicodedata.normalize("NFC", text)


def read_text(path: Path) -> str:
    """Return the normalised text of a UTF-8 file, or of every `.txt` below a folder, in the order of their names.

    Hidden files in the folder, and links, are left out.

    Raises:
        UserError: nothing there, nothing in it, no plain file, or no UTF-8 (file, line and byte offset are named).
    """
    files = [file for file in plain_files(path) if file.suffix == ".txt"] if path.is_dir() else [path]
    if not files:
        raise UserError(f"{path}: the folder holds no .txt file; put UTF-8 text files there, or name one file")
    text = "\n".join(_read_file(file) for file in files)
    if not text.strip():
        raise UserError(f"{path}: empty, expected UTF-8 text; name a file or a folder of .txt files with text in it")
    return text


def _read_file(path: Path) -> str:
    raw = read_plain(path, _MAX_TEXT_BYTES, follow_links=True)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{path}: line {line}, byte offset {error.start}: expected UTF-8, got byte 0x{raw[error.start]:02x}; "
            f"if the file is Latin-1, convert it: iconv -f LATIN1 -t UTF-8 {path.name} > {path.stem}.utf8.txt"
        ) from error
    try:
        return normalise(text)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


class Vocabulary:
    """A fixed, ordered set of symbols (characters or words) and the two mappings between symbols and ids.

    >>> vocabulary = Vocabulary(sorted(set("to be")))
    >>> vocabulary.encode("bet")
    array([1, 2, 4], dtype=int32)
    >>> "".join(vocabulary.decode([1, 2, 4]))
    'bet'
    """

    def __init__(self, symbols: Sequence[str]):
        """Number `symbols` from 0 in the order given.

        Raises:
            ValueError: no symbols, or one of them twice.
        """
        self.symbols = list(symbols)
        self._ids = {symbol: index for index, symbol in enumerate(self.symbols)}
        if not self.symbols or len(self._ids) != len(self.symbols):
            raise ValueError(f"expected distinct symbols, got {len(self.symbols)} with {len(self._ids)} distinct")

    def __len__(self) -> int:
        """Return the number of symbols, V."""
        return len(self.symbols)

    def encode(self, symbols: Iterable[str], unknown: int | None = None) -> np.ndarray:
        """Return the ids of `symbols` (a string is a sequence of characters), int32, shape (length,).

        Args:
            symbols: the symbols.
            unknown: stands for each symbol that is not in the vocabulary, if given.

        Raises:
            UserError: symbols that are not in the vocabulary, and no `unknown`; the message lists them.
        """
        if unknown is not None:
            return np.fromiter((self._ids.get(symbol, unknown) for symbol in symbols), dtype=np.int32)
        try:
            return np.fromiter((self._ids[symbol] for symbol in symbols), dtype=np.int32)
        except KeyError:
            unseen = sorted(set(symbols) - self._ids.keys())
            listed = " ".join(repr(symbol) for symbol in unseen[:20]) + (" ..." if len(unseen) > 20 else "")
            raise UserError(
                f"{len(unseen)} symbol(s) that the model never saw in training: {listed}; leave them out, "
                f"or train on a text that has them"
            ) from None

    def decode(self, ids: Iterable[int]) -> list[str]:
        """Return the symbols of `ids`."""
        return [self.symbols[index] for index in ids]

    def save(self, path: Path) -> None:
        """Write the symbols as a JSON list, one a line."""
        write_atomically(path, json.dumps(self.symbols, ensure_ascii=False, indent=0) + "\n")

    @classmethod
    def load(cls, path: Path) -> "Vocabulary":
        """Read what `save` wrote.

        Raises:
            UserError: the file is missing or is not a JSON list of distinct strings.
        """
        symbols = read_record(path, list[Line], _MAX_VOCABULARY_BYTES)
        try:
            return cls(symbols)
        except ValueError as error:
            raise UserError(f"{path}: damaged ({error}); restore it from a copy of the run") from error
