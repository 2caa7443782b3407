"""Reading of text files in any encoding, normalised to Unicode NFC, from one file or a folder."""

import codecs
import contextlib
import csv
import io
import re
import unicodedata
from pathlib import Path

import regex

from common.data.skipped import files_of_kind
from common.errors import UserError
from common.io.files import read_plain
from common.io.terminal import one_line, warn

_MAX_TEXT_BYTES = 1 << 32
_SUFFIXES = frozenset({".txt", ".text"})
_BYTE_ORDER_MARKS = {  # UTF-32 first: its mark starts with that of UTF-16
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_CANDIDATES = [  # the encodings of old files, most of them of Windows; the first of those that give the same text
    *("cp1252", "gb18030", "big5", "cp932", "euc_jp", "euc_kr", "koi8_r", "cp874"),
    *("cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256"),
]
_GUESSED_BYTES = 1 << 16  # enough to tell encodings apart
_MAX_ACCENTS = 0.06  # bytes beyond ASCII in a text; French has 0.04, Polish 0.09, Czech 0.15
_GUTENBERG = re.compile(  # what Project Gutenberg puts before and after a book
    r"\A.*?^\*\*\* ?START OF TH[^\n]*PROJECT GUTENBERG[^\n]*\n+(.*?)(?:^\*\*\* ?END OF TH[^\n]*PROJECT GUTENBERG.*)?\Z",
    re.DOTALL | re.MULTILINE,
)
_CONTROL = re.compile("[\x80-\x84\x86-\x9f]")  # bytes of cp1252 read as Latin-1; U+0085 is a line end
_MAX_LINES = 20  # of a cell of a CSV
_MAX_MARKS = 64  # combining marks in a row; the Unicode standard (UAX 15) expects at most 30 in real text
_TOO_MANY_MARKS = regex.compile(rf"\P{{ccc=0}}{{{_MAX_MARKS + 1}}}")


def normalise(text: str) -> str:
    """Return `text` in Unicode NFC, with `\\n` line ends and no byte order mark, so that equal texts are equal strings.

    A lone `\\r` is a line end only in a text without `\\n`. Elsewhere it is a stray one inside a line, and becomes a
    space.

    Raises:
        UserError: more combining marks in a row than any language has; sorting them takes quadratic time.
    """
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    text = text.replace("\r", " " if "\n" in text else "\n")
    if not text.isascii() and (marks := _TOO_MANY_MARKS.search(text)):
        line = text.count("\n", 0, marks.start()) + 1
        raise UserError(f"line {line}: expected at most {_MAX_MARKS} combining marks in a row, got more; delete them")
    return unicodedata.normalize("NFC", text)


def read_text(path: Path, encoding: str | None = None) -> str:
    """Return the normalised text of a file, or of all `.txt` files in a folder and below, sorted by name.

    Hidden files and links in the folder are left out, and so are the header and the licence of Project Gutenberg's
    books. For `encoding` see `decode`.

    Raises:
        UserError: as `read_text_file`; or there is no text.
    """
    files = files_of_kind(path, _SUFFIXES, "texts") if path.is_dir() else [path]
    if not files:
        raise UserError(f"{path}: the folder holds no .txt file; put text files there, or name one file")
    text = "\n".join(_without_licence(read_text_file(file, encoding), file) for file in files)
    if not text.strip():
        raise UserError(f"{path}: empty, expected text; name a file or a folder of .txt files with text in it")
    return text


def read_text_file(path: Path, encoding: str | None = None) -> str:
    """Return the normalised text of a file.

    Raises:
        UserError: the file is missing, not plain, or in another encoding; the message has the line, the byte offset,
            and a guess of the encoding.
    """
    raw = read_plain(path, _MAX_TEXT_BYTES, follow_links=True)
    text = decode(raw, str(path), encoding)
    if encoding and not codecs.lookup(encoding).name.startswith("utf") and not raw.isascii() and _is_utf_8(raw):
        warn(f"warning: {path} is UTF-8, and is read as {encoding}; --encoding utf-8 may be right")
    if control := _CONTROL.search(text):
        warn(
            f"warning: {path} has control characters such as U+{ord(control[0]):04X}, which no text has; "
            f"--encoding cp1252 may be right"
        )
    try:
        return normalise(text)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def read_csv(text: str, path: Path, delimiter: str) -> list[list[str]]:
    """Return the rows of a CSV; `path` is for the messages.

    Raises:
        UserError: it is no CSV, or a quotation mark is not closed, so that many lines would become one cell.
    """
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    except csv.Error as error:
        raise UserError(f"{path}: no CSV ({error}); write it anew, or as TSV") from error
    for number, row in enumerate(rows, start=1):
        lines = max((cell.count("\n") for cell in row), default=0)
        if lines > _MAX_LINES:
            raise UserError(
                f"{path}: row {number}: a quotation mark is not closed for {lines:,} lines; close it, double it "
                f"if it belongs to the text, or write TSV"
            )
    return rows


def decode(raw: bytes, name: str, encoding: str | None = None, first_line: int = 1) -> str:
    """Return the text of the bytes of a file; without an `encoding`, it is UTF-8 or what a byte order mark says.

    The error message calls the file `name`, and its first line has the number `first_line`.

    Raises:
        UserError: the bytes are in another encoding.
    """
    used = encoding or byte_order_mark(raw) or "utf-8"
    try:
        text = raw.decode(used)
    except UnicodeError as error:
        start = getattr(error, "start", 0)  # UTF-16 that is cut off has none
        line = raw.count(b"\n", 0, start) + first_line
        raise UserError(
            f"{name}: line {line}, byte offset {start}: expected {used.upper()}, got byte 0x{raw[start]:02x}; "
            f"{_advice(raw, start)}"
        ) from error
    if text.count("\0") > len(text) / 4:  # every second byte of English in UTF-16
        raise UserError(
            f"{name}: full of null bytes, which no text has; if it is UTF-16, add --encoding {_utf_16(raw)}"
        )
    return text


def _utf_16(raw: bytes) -> str:
    """Return which UTF-16 bytes without a mark are: in most texts, the greater byte of most characters is null."""
    return "utf-16-be" if raw[::2].count(0) > raw[1::2].count(0) else "utf-16-le"


def byte_order_mark(raw: bytes) -> str | None:
    """Return the encoding that the byte order mark at the start of `raw` stands for, None if there is none."""
    return next((encoding for mark, encoding in _BYTE_ORDER_MARKS.items() if raw.startswith(mark)), None)


def guess_encodings(raw: bytes) -> list[str]:
    """Return the likeliest encodings of the text in `raw`, at most two, the best first; none if it looks like no text.

    `raw` is not UTF-8. Encodings in which it is the same text count as one.
    """
    from charset_normalizer import from_bytes  # here because only an error needs it

    matches = list(from_bytes(raw, cp_isolation=_CANDIDATES))[:2]
    guesses = [min(match.could_be_from_charset, key=_CANDIDATES.index) for match in matches]
    if matches and _looks_western(raw):
        guesses = list(dict.fromkeys(["cp1252", *guesses]))[:2]
    return guesses


def _looks_western(raw: bytes) -> bool:
    """Return whether the text is one in a western European language, in which few letters have accents."""
    share = sum(byte > 127 for byte in raw) / len(raw)
    signs = {sign for sign in raw.decode("cp1252", "ignore") if sign > "\x7f"} - {"\xa0"}  # a no-break space
    return share < _MAX_ACCENTS and all(map(str.isprintable, signs))


def _is_utf_8(raw: bytes) -> bool:
    with contextlib.suppress(UnicodeDecodeError):
        raw.decode()
        return True
    return False


def _advice(raw: bytes, start: int) -> str:
    """Return what to do about bytes that cannot be decoded from `start` on, with the first such line as guessed."""
    if _is_utf_8(raw):
        return "it is UTF-8: add --encoding utf-8"
    begin, end = raw.rfind(b"\n", 0, start) + 1, raw.find(b"\n", start)
    line = raw[begin : end if end >= 0 else len(raw)]
    sample = raw[begin : begin + _GUESSED_BYTES] if len(raw) > _GUESSED_BYTES else raw
    if sample.count(0) > len(sample) / 4:
        return f"it is full of null bytes, as UTF-16 is: add --encoding {_utf_16(raw)}"
    guesses = guess_encodings(sample)
    if not guesses:
        return "it looks like no text; name a text file, or its encoding with --encoding"
    excerpts = {one_line(line.decode(guess, "replace").strip())[:60]: guess for guess in reversed(guesses)}
    choices = [f'add --encoding {guess} if "{text}" is right' for text, guess in reversed(excerpts.items())]
    return f"it looks like {guesses[0]}: {', or '.join(choices)}"


def _without_licence(text: str, path: Path) -> str:
    book = _GUTENBERG.match(text)
    if not book:
        return text
    kept = book[1].strip("\n") + "\n"
    warn(f"note: {path.name}: left out Project Gutenberg's header and licence, {len(text) - len(kept):,} characters")
    return kept
