"""Reading of text files: strict UTF-8, normalised to Unicode NFC, from one file or a folder."""

import re
import sys
import unicodedata
from pathlib import Path

from common.errors import UserError
from common.io.files import plain_files, read_plain

_MAX_TEXT_BYTES = 1 << 32
_MAX_MARKS = 64  # combining marks in a row; the Unicode standard (UAX 15) expects at most 30 in real text
_MARKS = "".join(re.escape(c) for c in map(chr, range(sys.maxunicode + 1)) if unicodedata.combining(c))
_TOO_MANY_MARKS = re.compile(f"[{_MARKS}]{{{_MAX_MARKS + 1}}}")


def normalise(text: str) -> str:
    """Return `text` in Unicode NFC, with `\\n` line ends and no byte order mark, so that equal texts are equal strings.

    Raises:
        UserError: more combining marks in a row than any language has; sorting them takes quadratic time.
    """
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    if not text.isascii() and (marks := _TOO_MANY_MARKS.search(text)):
        line = text.count("\n", 0, marks.start()) + 1
        raise UserError(f"line {line}: expected at most {_MAX_MARKS} combining marks in a row, got more; delete them")
    return unicodedata.normalize("NFC", text)


def read_text(path: Path) -> str:
    """Return the normalised text of a UTF-8 file, or of all `.txt` files in a folder and below, sorted by name.

    Hidden files and links in the folder are left out.

    Raises:
        UserError: the file is missing, empty, not plain, or not UTF-8; the message has the line and byte offset.
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
