import ast
import json

import pytest

from common.io.terminal import echo, json_line, one_line, printable, warn
from tests.downloads import ROOT

LANGUAGES = {
    "Persian, with non-joiners": "من گربه\u200cها را می\u200cخواهم.",
    "French, with no-break spaces": "«\u00a0Oui\u202f!\u00a0» dit-elle\u00a0: bœuf",
    "Chinese, indented": "\u3000\u3000他说：“好。”",
    "emoji with joiners": "👩\u200d👩\u200d👧 👍🏽 🏳️\u200d🌈",
    "Hindi, with a joiner": "क्\u200dष",
    "Hebrew, with marks": "שלום\u200f (abc\u200e)",
    "soft hyphens and a byte order mark": "Donau\u00addampf\ufeff",
    "symbols of private use": "\ue000 \U000f0000",
}


@pytest.mark.parametrize("text", LANGUAGES.values(), ids=LANGUAGES)
def test_text_of_any_language_comes_out_as_it_is(text, capsys):
    assert printable(text) == one_line(text) == json.loads(json_line(text)) == text
    echo(text)
    warn(text)
    assert capsys.readouterr() == (text + "\n", text + "\n")


CONTROL = "a\x1b[31mb\x07c\x7fd\x9be\x00"
ESCAPED = "a\\x1b[31mb\\x07c\\x7fd\\x9be\\x00"


def test_control_characters_are_escaped():
    assert printable(CONTROL) == one_line(CONTROL) == ESCAPED
    assert printable("a\tb\nc\r\n") == "a\tb\nc\\r\n"
    assert one_line("a\tb\nc\r\u2028d") == "a\\tb\\nc\\r\\u2028d"
    assert printable("half \ud83d") == "half \\ud83d"


def test_json_stays_json():
    line = json_line({"text": CONTROL + "\n\u2028\ud83dé"})
    assert json.loads(line) == {"text": CONTROL + "\n\u2028\ud83dé"}
    assert "é" in line and "\x9b" not in line and len(line.splitlines()) == 1


def test_what_is_printed_is_escaped(capsys):
    echo(CONTROL, end="")
    warn(CONTROL + "\n")
    assert capsys.readouterr() == (ESCAPED, ESCAPED + "\\n\n")


def test_everything_is_printed_through_this_module():
    """But for the notebooks' own cells."""
    files = [path for folder in ("common", "examples") for path in sorted((ROOT / folder).rglob("*.py"))]
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in files
        if path.name not in ("terminal.py", "notebook.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert found == []
