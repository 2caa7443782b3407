import subprocess
import sys
from dataclasses import replace
from importlib import import_module
from types import SimpleNamespace

import pytest

import examples.__main__ as entry
from common.app import cli, report
from common.errors import UserError
from examples.__main__ import DemoOptions, demo, describe, example_names


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
def test_training_reads_the_download_cache_that_is_named(example, tmp_path):
    config, train = (import_module(f"examples.{example}.{name}") for name in ("config", "train"))
    cache = tmp_path / "cache"
    with pytest.raises(UserError, match=str(cache)):
        train.train(replace(config.PRESETS["quick"], run_dir=tmp_path / "run", data_dir=cache))


@pytest.fixture
def commands(monkeypatch):
    """The command lines that the demo would run, without the interpreter."""
    called = []
    monkeypatch.setattr(
        entry.subprocess, "run", lambda command: called.append(command[2:]) or SimpleNamespace(returncode=0)
    )
    return called


def test_the_demo_trains_every_example_anew_and_writes_over_its_own_index(commands, monkeypatch, tmp_path):
    monkeypatch.setattr(entry, "write_index", lambda folder: report.write_page(folder / "index.html", "Demo", "", []))
    for _ in range(2):
        commands.clear()
        demo(DemoOptions(out=tmp_path, steps_per_epoch=3))
        assert (tmp_path / "index.html").is_file()
    trained = [command for command in commands if command[1] == "train"]
    assert [command[0] for command in trained] == [f"examples.{name}" for name in example_names()]
    assert all("--fresh" in command and command[-2:] == ["--steps-per-epoch", "3"] for command in trained)
    evaluated = [command for command in commands if command[1] == "evaluate"]
    assert [command[-1] for command in evaluated] == [str(tmp_path / name) for name in example_names()]


def test_the_demo_refuses_an_index_that_is_not_its_own(commands, tmp_path):
    (tmp_path / "index.html").write_text("<p>mine")
    with pytest.raises(UserError, match=r"index\.html: there already, and not of a demo"):
        demo(DemoOptions(out=tmp_path))
    assert not commands and (tmp_path / "index.html").read_text() == "<p>mine"


def test_the_demo_stops_at_an_example_that_fails(monkeypatch, tmp_path):
    monkeypatch.setattr(entry.subprocess, "run", lambda command: SimpleNamespace(returncode=1))
    with pytest.raises(UserError, match=f"{example_names()[0]}: train failed"):
        demo(DemoOptions(out=tmp_path))
    assert not (tmp_path / "index.html").exists()


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


@pytest.mark.parametrize("steps", [0, -1])
def test_the_demo_refuses_epochs_of_no_steps(steps):
    with pytest.raises(UserError, match="--steps-per-epoch: expected 1 to"):
        DemoOptions(steps_per_epoch=steps)
