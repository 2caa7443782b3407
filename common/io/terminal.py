"""Safe terminal output: text of any language, without the control characters of files and names."""

import json
import sys
import unicodedata

# Cc: control characters, which drive terminals. Cs: surrogates, which cannot be encoded. Format characters, such as the
# non-joiner of Persian or the joiner of emoji, are part of the text and stay.
_ESCAPED = frozenset({"Cc", "Cs"})
_LINE_ENDS = frozenset({"Zl", "Zp"})  # Unicode line ends: allowed in a text, escaped in a single line


def printable(text: str) -> str:
    """Return `text` with all control characters escaped except newline and tab."""
    return "".join(_escape(c) if unicodedata.category(c) in _ESCAPED and c not in "\n\t" else c for c in text)


def one_line(text: str) -> str:
    """Return `text` as a single line: like `printable`, with newlines escaped as well."""
    return "".join(_escape(c) if unicodedata.category(c) in _ESCAPED | _LINE_ENDS else c for c in text)


def json_line(value: object) -> str:
    """Return a JSON value as a single line, with control characters as JSON escapes and other characters unescaped."""
    line = json.dumps(value, ensure_ascii=False)
    return "".join(f"\\u{ord(c):04x}" if unicodedata.category(c) in _ESCAPED | _LINE_ENDS else c for c in line)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()


def echo(text: object = "", end: str = "\n") -> None:
    """Print `printable(text)` and flush; the examples print only with this function and `warn`."""
    print(printable(str(text)), end=end, flush=True)


def warn(text: object) -> None:
    """Print a warning or an error as one line on stderr."""
    print(one_line(str(text)), file=sys.stderr, flush=True)
