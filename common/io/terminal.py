"""What is printed: text as it is, whatever its language, and no control character out of a file or a name."""

import json
import sys
import unicodedata
from typing import TextIO

# Cc: control characters, which drive terminals. Cs: half characters, which no encoding has. Characters that format
# text, such as the non-joiner of Persian or the joiner of emoji, are part of the text.
_ESCAPED = frozenset({"Cc", "Cs"})
_LINE_ENDS = frozenset({"Zl", "Zp"})  # of Unicode; in a text they may stand, in one line they may not


def printable(text: str) -> str:
    """Return `text` with its control characters escaped, except newline and tab, so that it cannot drive a terminal."""
    return "".join(_escape(c) if unicodedata.category(c) in _ESCAPED and c not in "\n\t" else c for c in text)


def one_line(text: str) -> str:
    """Return `text` as a single line: like `printable`, with newlines escaped as well."""
    return "".join(_escape(c) if unicodedata.category(c) in _ESCAPED | _LINE_ENDS else c for c in text)


def json_line(value: object) -> str:
    """Return a JSON value as a single line: text as it is, control characters as JSON escapes them."""
    line = json.dumps(value, ensure_ascii=False)
    return "".join(f"\\u{ord(c):04x}" if unicodedata.category(c) in _ESCAPED else c for c in line)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()


def echo(text: object = "", end: str = "\n", file: TextIO | None = None) -> None:
    """Print `text`, made `printable`, at once; whatever the examples print goes through here, or through `warn`."""
    print(printable(str(text)), end=end, file=file, flush=True)


def warn(text: object) -> None:
    """Print a warning or an error, in one line, to stderr."""
    print(one_line(str(text)), file=sys.stderr, flush=True)
