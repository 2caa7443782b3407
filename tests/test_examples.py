import subprocess
import sys
from importlib import import_module

import pytest

from common.app import cli
from examples.__main__ import describe, example_names


def test_the_list_names_every_example():
    done = subprocess.run([sys.executable, "-m", "examples"], capture_output=True, text=True, check=True)
    for name in example_names():
        listed = f"- python -m examples.{name}: {describe(name).partition(': ')[2]}"
        assert listed in " ".join(done.stdout.split())


def test_every_example_has_the_same_files():
    from pathlib import Path

    anatomy = {"README.md", "__init__.py", "__main__.py", "config.py", "data.py", "model.py", "train.py", "demo.py"}
    for name in example_names():
        assert anatomy <= {path.name for path in (Path("examples") / name).iterdir()}


@pytest.mark.parametrize("example", example_names())
@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_help_fills_the_width_of_the_terminal(example, width, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    commands = import_module(f"examples.{example}.__main__").COMMANDS
    for arguments in ([], *([name, "--help"] for name in commands)):
        assert cli.main(f"python -m examples.{example}", "What it is.", commands, arguments) == 0
        lines = capsys.readouterr().out.splitlines()
        assert max(map(len, lines)) <= width and "None" not in " ".join(lines)
        assert not early_breaks([line for line in lines if line[:1] not in {*"╭│╰"}], width)
        table = [line for line in lines if line.startswith("│")]
        assert table or not arguments
        column = max((line.find("show this help") for line in table), default=0)
        texts = []
        for line in table:
            begins_flag, has_text = line[2:column].strip(), line[column - 2 : column] == "  "
            texts += [""] * bool(begins_flag) + [line[column:-1].rstrip() if has_text else ""]
        assert not early_breaks(texts, width - 2 - column)


def early_breaks(lines, width):
    """Return the lines that end although the first word of the next one, in the same paragraph, has room in them."""
    pairs = zip(lines, lines[1:], strict=False)
    return [
        line
        for line, following in pairs
        if line.strip(" -") and following.strip() and not following.startswith("- ")
        if len(f"{line.rstrip()} {following.split()[0]}") <= width
    ]
