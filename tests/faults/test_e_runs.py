"""Group E: whole runs: the same again, on other settings of the machine, where nothing can be written, and many."""

import json
import os
import statistics
import subprocess
import sys

import nbformat
import pytest
import tensorflow as tf
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from common.app.cli import Command, Options, main
from common.training.run_directory import RunDirectory
from examples.__main__ import example_names
from tests.downloads import ROOT
from tests.nightly import some_nightly
from tests.toy import BATCHES, EPOCHS, build, fit, make_trainer, train_data, validation_data


def repeat(folder, *arguments, **environment):
    command = [sys.executable, "-m", "tests.faults.repeat", str(folder), *arguments]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


TWO_THREADS = {"OMP_NUM_THREADS": "2", "TF_NUM_INTRAOP_THREADS": "2"}
ONE_THREAD = {"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1"}


@pytest.fixture(scope="module")
def on_two_threads(tmp_path_factory):
    return repeat(tmp_path_factory.mktemp("two"), **TWO_THREADS)


@pytest.mark.slow
def test_e01_the_same_bits_again(tmp_path, on_two_threads):
    """On the same machine, with the same versions and number of threads."""
    assert repeat(tmp_path, **TWO_THREADS) == on_two_threads


@pytest.mark.slow
@pytest.mark.parametrize("environment", [ONE_THREAD, TWO_THREADS | {"TF_ENABLE_ONEDNN_OPTS": "0"}])
def test_e02_nearly_the_same_on_other_settings(tmp_path, on_two_threads, environment):
    """Losses differ by less than one in a thousand."""
    losses, others = (
        [float.fromhex(loss) for loss in report["losses"]]
        for report in (on_two_threads, repeat(tmp_path, **environment))
    )
    assert losses == pytest.approx(others, rel=1e-3)


def test_control_another_seed_gives_other_losses(tmp_path, uninterrupted):
    rows = make_trainer(tmp_path, build(seed=4)).fit(train_data, validation_data())
    assert rows[0]["loss"] != uninterrupted[2][0]["loss"]


@pytest.mark.parametrize("shortage", [MemoryError(), tf.errors.ResourceExhaustedError(None, None, "OOM")])
def test_e03_memory_that_runs_out_is_told_and_the_run_goes_on_elsewhere(tmp_path, capsys, uninterrupted, shortage):
    model = build()
    step = model.train_step

    def exhausting(batch):
        if model.optimizer.iterations == BATCHES + 2:
            raise shortage
        return step(batch)

    model.train_step = exhausting

    def train(options):
        make_trainer(tmp_path, model, eager=True).fit(train_data, validation_data())

    assert main("prog", "", {"train": Command("", Options, train)}, ["train"]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "error: out of memory; use a smaller --batch-size" in error
    before = len(uninterrupted[0]) - len(fit(tmp_path)[0])
    assert before == BATCHES + 2


def test_e04_a_reader_that_leaves_is_no_error():
    code = (
        "import sys\nfrom common.app.cli import Options, Command, main\n"
        "verb = Command('', Options, lambda options: [print('x' * 1000) for _ in range(1000)], uses_tensorflow=False)\n"
        "sys.exit(main('p', '', {'go': verb}, ['go']))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ
    )
    process.stdout.readline()
    process.stdout.close()
    assert process.wait() == 141 and process.stderr.read() == b""


def test_e04_a_terminal_without_accents_is_no_error():
    code = (
        "import sys\nfrom common.app.cli import Options, Command, main\n"
        "sys.exit(main('p', '', {'go': Command('', Options, lambda options: print('é'))}, ['go']))"
    )
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment).stdout == b"\\xe9\n"


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """Trains an example where there is no home, no terminal, no locale and no network, and another folder is current.

    Returns the finished process, the run, and what sitecustomize.py in `witness` saw of files and connections.
    """
    finished = {}

    def train(example):
        if example not in finished:
            folder = tmp_path_factory.mktemp(example)
            for name in ("here", "temp", "cache"):
                (folder / name).mkdir()
            environment = {
                "PATH": os.environ["PATH"], "LANG": "C", "TERM": "dumb", "HOME": "/proc/nobody",
                "TMPDIR": str(folder / "temp"), "XDG_CACHE_HOME": str(folder / "cache"),
                "KERAS_HOME": str(folder / "cache" / "keras"),  # else in /tmp, whatever TMPDIR says
                "PYTHONPATH": f"{ROOT}/tests/faults/witness:{ROOT}", "WITNESS": str(folder / "witness.log"),
                "PYTHONDONTWRITEBYTECODE": "1",
            }  # fmt: skip
            flags = ["--preset", "tiny", "--epochs", "1", "--steps-per-epoch", "2", "--run-dir", str(folder / "run")]
            done = subprocess.run(
                [sys.executable, "-m", f"examples.{example}", "train", *flags],
                cwd=folder / "here", env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            )  # fmt: skip
            finished[example] = done, RunDirectory(folder / "run"), (folder / "witness.log").read_text().splitlines()
        return finished[example]

    return train


@pytest.mark.slow
@pytest.mark.parametrize("example", some_nightly(example_names(), "dcgan", "image_captioning", "nmt_attention"))
def test_a22_tiny_needs_no_connection(bare, example):
    done, run, seen = bare(example)
    assert done.returncode == 0, done.stderr
    assert [line for line in seen if line.startswith("socket")] == []


@pytest.mark.slow
@pytest.mark.parametrize("example", some_nightly(example_names(), "dcgan", "image_captioning", "nmt_attention"))
def test_e04_without_terminal_and_locale(bare, example):
    done, run, seen = bare(example)
    assert done.returncode == 0 and "Traceback" not in done.stderr and "epoch 1/1" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("example", some_nightly(example_names(), "dcgan", "image_captioning", "nmt_attention"))
def test_e05_nothing_is_written_but_where_it_should_be(bare, example):
    """Into the run and the cache. TensorFlow and matplotlib use the system's temporary folder, and clear it."""
    done, run, seen = bare(example)
    folder = run.path.parent
    allowed = tuple(map(str, (run.path, folder / "cache", folder / "temp", "/dev/null", "/proc/nobody")))
    written = {line.removeprefix("write ") for line in seen if line.startswith("write ")}
    assert {path for path in written if path.startswith(str(run.path))}, "the witness has seen nothing"
    assert sorted(path for path in written if not path.startswith(allowed) and path != "/proc") == []
    assert os.listdir(folder / "here") == [] and os.listdir(folder / "temp") == []


@pytest.mark.slow
@pytest.mark.nightly
def test_e06_runs_in_one_process_leave_nothing_behind(tmp_path):
    """Line by line: of every function that it compiles, TensorFlow 2.21 keeps 1.4 MB for good, whoever calls it."""
    held = repeat(tmp_path, "--soak", "10")
    after_three = held["megabytes"][3:]
    assert statistics.linear_regression(range(len(after_three)), after_three).slope < 1
    assert len(set(held["files"][1:])) == 1 and held["models"] == [0] * 10


INTERRUPTED = """
import os, signal, threading
from pathlib import Path
from tests.toy import *

class Interrupt(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if not Path("interrupted").exists() and self.model.optimizer.iterations == 7:
            Path("interrupted").touch()
            os.kill(os.getpid(), signal.SIGINT)

model = build()
rows = make_trainer(Path("run"), model, Interrupt()).fit(train_data, validation_data())
rows[-1]
"""


@pytest.mark.slow
def test_e07_a_cell_that_was_interrupted_is_run_again(tmp_path, uninterrupted, monkeypatch):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(INTERRUPTED)])
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    client = NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    with client.setup_kernel():
        with pytest.raises(CellExecutionError, match="saved at step 7"):
            client.execute_cell(notebook.cells[0], 0)
        client.execute_cell(notebook.cells[0], 0)
    [row] = [output.data["text/plain"] for output in notebook.cells[0].outputs if "data" in output]
    assert (
        f"'val_loss': {uninterrupted[2][-1]['val_loss']}" in row
        and len(RunDirectory(tmp_path / "run").read_metrics()) == EPOCHS
    )
