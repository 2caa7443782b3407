import os
import resource
import signal
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from common.app.cli import Command, TrainOptions, main
from common.errors import Interrupted, UserError
from common.io.files import write_atomically
from examples.nmt_attention.__main__ import COMMANDS


@dataclass(frozen=True, kw_only=True)
class Config(TrainOptions):
    """Train a toy."""

    EXAMPLE = "toy"
    DATA_SETS = ("tiny",)

    units: int = 3
    """Width."""


PRESETS = {"quick": Config(), "tiny": Config(preset="tiny", units=1, epochs=2)}


@pytest.fixture(autouse=True)
def loud(monkeypatch):
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")  # so that TensorFlow is not imported by the command line


def run(*arguments, action=lambda options: None):
    return main("prog", "What it is.", {"train": Command("train it", Config, action, PRESETS)}, arguments)


def test_presets_are_defaults_that_flags_override():
    seen = []
    for arguments in ([], ["--preset", "tiny"], ["--preset=tiny", "--epochs", "9"]):
        assert run("train", *arguments, action=seen.append) == 0
    assert [(config.units, config.epochs) for config in seen] == [(3, 1), (1, 2), (1, 9)]


@pytest.mark.parametrize(
    ("arguments", "adaptable"),
    [
        ([], ()),
        (["--data", "tiny"], ()),
        (["--data", "mine"], ("epochs", "batch_size", "steps_per_epoch")),
        (["--data", "mine", "--epochs", "1"], ("batch_size", "steps_per_epoch")),
        (["--data", "mine", "--epochs=1", "--batch_size", "3", "--steps-per-epoch", "9"], ()),
        (["--data", "mine", "--run-dir", "epochs"], ("epochs", "batch_size", "steps_per_epoch")),
    ],
)
def test_only_for_own_data_and_without_a_flag_a_setting_may_be_adapted(arguments, adaptable):
    used = []
    assert run("train", *arguments, action=used.append) == 0
    assert used[0].adaptable == adaptable and "adaptable" not in used[0].settings()


def test_from_python_as_on_the_command_line():
    options = PRESETS["quick"].with_data("mine", epochs=1, fresh=True)
    assert (options.data, options.epochs, options.fresh) == ("mine", 1, True)
    assert options.adaptable == ("batch_size", "steps_per_epoch")
    assert PRESETS["quick"].with_data("tiny", epochs=1).adaptable == ()


def test_the_run_directory_may_be_a_string_as_in_a_notebook():
    assert Config().run_path == Path("runs/toy/quick")
    assert replace(PRESETS["tiny"], run_dir="/content/run").run_path == Path("/content/run")


def test_help_lists_the_verbs_and_explains_every_field(capsys):
    assert run() == 0
    assert "train it" in capsys.readouterr().out
    assert run("train", "--preset", "tiny", "--help") == 0
    text = capsys.readouterr().out
    assert "Width." in text and "(default: 1)" in text and "--max-minutes" in text
    assert "adaptable" not in text


def test_a_closed_output_is_no_error(monkeypatch):
    for name in ("stdin", "stdout", "stderr"):  # as of `command <&- >&- 2>&-`
        monkeypatch.setattr(sys, name, None)
    assert run() == 0 and sys.stdin.read() == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="macOS has no such device")
def test_a_full_disk_behind_the_output_is_one_line():
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "examples.dcgan", "train", "--help"]
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert ended.returncode == 2
    assert ended.stderr == "error: No space left on device; free some space and give the same command again\n"


@pytest.mark.parametrize("name", ["data", "init-from"])
def test_an_empty_value_is_no_path(name, capsys):
    assert run("train", f"--{name}", "") == 2
    assert capsys.readouterr().err == f"error: --{name}: expected a value, got none\n"


def test_an_empty_reference_is_no_search(capsys):
    assert main("prog", "", COMMANDS, ["translate", "--run", "none", "hola", "--reference", ""]) == 2
    assert capsys.readouterr().err == "error: --reference: expected a value, got none\n"


def test_data_of_a_notebook_may_be_a_path():
    assert Config().with_data(Path("mine")).data == "mine"


def test_a_user_error_is_one_line_and_2(capsys):
    def fail(options):
        raise UserError("no such file: x; name another")

    assert run("train", action=fail) == 2
    assert capsys.readouterr().err == "error: no such file: x; name another\n"
    with pytest.raises(UserError):
        run("train", "--debug", action=fail)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["walk"], "unknown command 'walk'; known are train"),
        (["train", "--epochs", "0"], "--epochs: expected 1 to 1,000,000,000, got 0"),
        (["train", "--steps-per-epoch", "-1"], "--steps-per-epoch: expected 1 to 1,000,000,000, got -1"),
        (["train", "--max-minutes", "0"], "--max-minutes: expected more than 0"),
        (["train", "--max-minutes", "inf"], "--max-minutes: expected more than 0"),
        (["train", "--seed", str(2**32)], "--seed: expected 0 to 4,294,967,295, got 4294967296"),
        (["train", "--batch-size", str(10**30)], "--batch-size: expected 1 to 65,536"),
    ],
)
def test_values_out_of_range_are_named(capsys, arguments, message):
    assert run(*arguments) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


@pytest.mark.parametrize("arguments", [["--units", "many"], ["--unitz", "3"]])
def test_what_cannot_be_parsed_exits_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as done:
        run("train", *arguments)
    assert done.value.code == 2 and "Traceback" not in capsys.readouterr().err


def test_a_preset_that_an_example_does_not_have_is_an_error(capsys):
    assert run("train", "--preset", "full") == 2
    assert capsys.readouterr().err == "error: --preset: expected quick, tiny, got full\n"


@pytest.mark.parametrize("settings", [{"preset": "mine"}, {"units": 2.5}])
def test_no_run_begins_with_settings_that_could_not_be_read_again(tmp_path, settings):
    config = replace(PRESETS["tiny"], run_dir=tmp_path / "run", **settings)
    with pytest.raises(UserError, match=f"settings: {[*settings][0]}: .*; change it, or its type in config.py"):
        config.start_run({})
    assert not config.run_path.exists()
    replace(config, preset="tiny", units=2).start_run({})


def test_errors_have_no_colours(monkeypatch, capsys):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    with pytest.raises(SystemExit):
        run("train", "--unitz", "3")
    assert "--unitz" in (error := capsys.readouterr().err) and "\x1b" not in error


def test_stops_have_the_exit_codes_of_their_signals(capsys):
    def stop(options):
        raise Interrupted(signal.SIGTERM, "saved at step 3")

    def interrupt(options):
        raise KeyboardInterrupt

    assert run("train", action=stop) == 143 and run("train", action=interrupt) == 130
    assert "SIGTERM: saved at step 3" in capsys.readouterr().err


def test_a_full_disk_is_one_line(tmp_path, capsys):
    path, (soft, hard) = tmp_path / "report.html", resource.getrlimit(resource.RLIMIT_FSIZE)

    def write(options):
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
        try:
            write_atomically(path, "x" * 100_000)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert run("train", action=write) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {path}: File too large; free some space") and error.count("\n") == 1


def test_an_error_while_a_batch_is_loaded_is_one_line(capsys):
    import tensorflow as tf

    def load(error):
        def fail(options):
            raise error

        data = tf.data.Dataset.range(1).map(lambda number: tf.numpy_function(fail, [number], tf.int64))
        return lambda options: next(iter(data))

    assert run("train", action=load(UserError("a.features: gone; run it again"))) == 2
    assert capsys.readouterr().err == "error: a.features: gone; run it again\n"
    with pytest.raises(tf.errors.OpError):
        run("train", action=load(IndexError("a bug")))


def test_a_bug_is_not_hidden():
    with pytest.raises(ZeroDivisionError):
        run("train", action=lambda options: 1 // 0)


def test_settings_leave_out_how_a_run_is_carried_out():
    settings = Config(eager=True, max_minutes=3, units=7, precision="float32").settings()
    assert settings["units"] == 7 and "eager" not in settings and "max_minutes" not in settings
    assert Config.from_settings(settings).units == 7
    with pytest.raises(UserError, match="config.json: settings: unknown entry 'depth'"):
        Config.from_settings(settings | {"depth": 1})


def test_the_training_loop_gets_every_flag_that_is_its_own():
    flags = {"epochs": 4, "steps_per_epoch": 5, "patience": 2, "eager": True, "xla": False}
    flags |= {"max_minutes": 3.0, "checkpoint_seconds": 7.0}
    assert Config(**flags).loop_settings() == flags


def test_tensorflow_starts_in_silence():
    """And stays silent about what it finds later, such as operations without an optimised version."""
    code = (
        "import os, sys\nfrom common.app.cli import Options, Command, main\n"
        "def go(options):\n import tensorflow as tf\n print(tf.reduce_sum(tf.matmul([[1, 2]], [[3], [4]])).numpy())\n"
        "assert main('p', '', {'go': Command('', Options, go)}, ['go']) == 0\n"
        "assert 'TF_CPP_MIN_LOG_LEVEL' not in os.environ"
    )
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"11\n", b"")


def test_help_does_not_import_tensorflow():
    code = (
        "import sys, runpy\nsys.argv = ['x', 'train', '--help']\n"
        "try:\n runpy.run_module('examples.text_generation', run_name='__main__')\n"
        "except SystemExit as done:\n assert done.code == 0\n"
        "assert not {'tensorflow', 'keras', 'matplotlib'} & sys.modules.keys(), 'imported too early'"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
