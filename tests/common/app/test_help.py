import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import pytest

from common.app.help import command_help, wrap


@dataclass(frozen=True)
class Base:
    size: int = 1
    """The size, in a text of the base class, which is so long that it takes
    two lines."""


@dataclass(frozen=True)
class Toy(Base):
    """Do one thing.

    - First: a
    """

    place: Optional[Path] = None  # noqa: UP045
    """Where. [default: here]"""
    words: tuple[str, ...] = ()
    """Any."""


def test_paragraphs_and_items_are_wrapped_each_by_itself(monkeypatch):
    monkeypatch.setenv("COLUMNS", "12")
    assert wrap("one two three four\nfive\n\n- a b c d e f g\n- h\n\nend") == (
        "one two\nthree four\nfive\n\n- a b c d e\n  f g\n- h\n\nend"
    )
    assert wrap("a-hyphenated-word --a-flag-of-more") == "a-hyphenated-word\n--a-flag-of-more"


def test_the_narrowest_terminals_and_python_without_docstrings_have_help():
    command = [sys.executable, "-OO", "-m", "examples.dcgan", "generate", "--help"]
    text = subprocess.run(command, env=os.environ | {"COLUMNS": "3"}, capture_output=True, text=True, timeout=60).stdout
    assert text.split()[3:] and "Generate\nimages\nwith the\ntrained\n" in text


@pytest.mark.parametrize("default", [None, Toy(size=7)])
def test_help_has_the_docstrings_of_inherited_fields_and_no_empty_defaults(default, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    text = command_help("toy run", Toy, default)
    assert text.startswith("usage: toy run [-h]") and "\n\nDo one thing.\n\n- First: a\n\n" in text
    size = 7 if default else 1
    assert f"The size, in a text of the base class, which is so long that it takes two lines. (default: {size})" in text
    assert "None" not in text and "(default: )" not in text and "[default: here]" in text
