import re
import subprocess
import sys
from importlib import import_module

import pytest

from common.app import cli
from examples.__main__ import describe, example_names


def test_the_list_names_every_example():
    done = subprocess.run([sys.executable, "-m", "examples"], capture_output=True, text=True, check=True)
    for name in example_names():
        assert f"python -m examples.{name}" in done.stdout and describe(name) in done.stdout


def test_the_demo_runs_everything_without_a_network(demo):
    index = (demo / "index.html").read_text()
    assert index.count("<img") >= len(example_names())
    for target in re.findall(r'href="([^"]+)"', index):
        assert target.startswith("data:") or (demo / target).exists()


def test_every_example_has_the_same_files():
    from pathlib import Path

    anatomy = {"README.md", "__init__.py", "__main__.py", "config.py", "data.py", "model.py", "train.py", "demo.py"}
    for name in example_names():
        assert anatomy <= {path.name for path in (Path("examples") / name).iterdir()}


@pytest.mark.parametrize("example", example_names())
def test_help_shows_no_none(example, capsys):
    commands = import_module(f"examples.{example}.__main__").COMMANDS
    for name in commands:
        with pytest.raises(SystemExit):
            cli.main(example, "", commands, [name, "--help"])
        assert "None" not in capsys.readouterr().out
