"""One device, several devices, several processes and XLA give the same losses, in all examples."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack

import pytest

from common.training.run_directory import RunDirectory
from examples.__main__ import example_names
from tests.nightly import some_nightly

STEPS = 10  # `python -m tests.devices` does any multiple of 5


def start(*arguments, workers=None, index=0, **options):
    """Start a Python process; with `workers`, ports of this host, as the one of this index."""
    environment = {name: value for name, value in os.environ.items() if name != "TF_CONFIG"}
    if workers:
        cluster = {"worker": [f"localhost:{port}" for port in workers]}
        environment["TF_CONFIG"] = json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}})
    return subprocess.Popen([sys.executable, "-m", *map(str, arguments)], env=environment, **options)


def free_ports(count):
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("localhost", 0))
        return [one.getsockname()[1] for one in sockets]


def losses(example, *ways, workers=None):
    command = ("tests.devices", example, STEPS, *ways)
    processes = [
        start(*command, workers=workers, index=index, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for index in range(len(workers or [1]))
    ]
    outputs = [process.communicate(timeout=600) for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes), outputs[0][1][-2000:]
    return json.loads(outputs[0][0].splitlines()[-1])


def assert_same(rows, expected, tolerance):
    assert len(rows) == len(expected) == STEPS + 1
    for row, other in zip(rows, expected, strict=True):
        names = [name for name in other if "loss" in name or name.startswith("val_") or name == "step"]
        assert [row[name] for name in names] == pytest.approx([other[name] for name in names], rel=tolerance)


@pytest.mark.parametrize("example", some_nightly(example_names(), "image_captioning", "nmt_attention"))
def test_two_devices_and_xla_give_the_losses_of_one(example):
    found = losses(example, "one", "two", "xla")
    assert_same(found["two"], found["one"], 1e-5)
    assert_same(found["xla"], found["one"], 1e-4)


@pytest.mark.parametrize("example", some_nightly(example_names(), "dcgan", "image_captioning", "nmt_attention"))
def test_two_processes_give_the_losses_of_one(example):
    one = losses(example, "one")["one"]
    assert_same(losses(example, "workers", workers=free_ports(2))["workers"], one, 1e-5)


TRAIN = (
    *("examples.text_generation", "train", "--preset", "tiny", "--epochs", 6, "--dropout", 0, "--units", 16),
    *("--sample-length", 5, "--checkpoint-seconds", 0, "--run-dir"),
)


def last_row(run):
    return {name: value for name, value in RunDirectory(run).read_metrics()[-1].items() if name != "seconds"}


def wait_for(condition, process):
    while not condition():
        assert process.poll() is None, "it ended too early"
        time.sleep(0.05)  # not for a fixed time: until there is what it waits for


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    run = tmp_path_factory.mktemp("uninterrupted") / "run"
    assert start(*TRAIN, run).wait() == 0
    return last_row(run)


@pytest.mark.parametrize("victim", some_nightly([0, 1], 1))
def test_a_killed_worker_is_named_and_all_resume(victim, tmp_path, uninterrupted):
    run, ports = tmp_path / "run", free_ports(2)
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    processes = [start(*TRAIN, run, workers=ports, index=index, **pipes) for index in range(2)]
    wait_for(lambda: len([*run.glob("checkpoints/latest-*")]) > 1, processes[0])
    processes[victim].send_signal(signal.SIGKILL)
    survivor = processes[1 - victim]
    message = survivor.communicate(timeout=60)[1].splitlines()[-1]
    assert survivor.returncode == 2
    assert f"worker {victim} (localhost:{ports[victim]}) is gone; start all workers again" in message
    if victim == 0:
        return  # what resumes is the same, from the same checkpoint
    ports = free_ports(2)
    processes = [start(*TRAIN, run, workers=ports, index=index) for index in range(2)]
    assert [process.wait() for process in processes] == [0, 0]
    assert last_row(run) == pytest.approx(uninterrupted, rel=1e-5)
    assert (run / "report.html").exists()


@pytest.mark.nightly
def test_a_signal_to_one_worker_stops_all_and_all_resume(tmp_path, uninterrupted):
    run, ports = tmp_path / "run", free_ports(2)
    processes = [start(*TRAIN, run, workers=ports, index=index) for index in range(2)]
    wait_for(lambda: [*run.glob("checkpoints/latest-*")], processes[1])
    processes[1].send_signal(signal.SIGTERM)
    assert [process.wait(timeout=60) for process in processes] == [128 + signal.SIGTERM] * 2
    ports = free_ports(2)
    processes = [start(*TRAIN, run, workers=ports, index=index) for index in range(2)]
    assert [process.wait() for process in processes] == [0, 0]
    assert last_row(run) == pytest.approx(uninterrupted, rel=1e-5)


@pytest.mark.parametrize(
    ("first", "second"), [("cpu:2", "cpu"), pytest.param("cpu", "cpu:2", marks=pytest.mark.nightly)]
)
def test_a_run_resumes_on_another_number_of_devices(first, second, tmp_path, uninterrupted):
    run = tmp_path / "run"
    process = start(*TRAIN, run, "--devices", first)
    wait_for(lambda: [*run.glob("checkpoints/latest-*")], process)
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 128 + signal.SIGTERM
    assert start(*TRAIN, run, "--devices", second).wait() == 0
    assert last_row(run) == pytest.approx(uninterrupted, rel=1e-5)


@pytest.mark.parametrize("flag", ["--xla", "--eager"])
def test_what_needs_a_single_device_says_so(flag, tmp_path):
    process = start(*TRAIN, tmp_path / "run", "--devices", "cpu:2", flag, stderr=subprocess.PIPE, text=True)
    assert process.communicate()[1].splitlines()[-1].startswith(f"error: {flag} works on a single device")
    assert process.returncode == 2


def test_a_missing_gpu_is_one_line(tmp_path):
    process = start(*TRAIN, tmp_path / "run", "--devices", "gpu", stderr=subprocess.PIPE, text=True)
    assert "--devices gpu: TensorFlow finds no GPU here" in process.communicate()[1]
    assert process.returncode == 2


@pytest.mark.nightly
def test_a_worker_that_is_not_the_chief_writes_nowhere(tmp_path):
    """But into a folder that is gone when it ends."""
    run, ports, temporary = tmp_path / "run", free_ports(2), tmp_path / "temporary"
    temporary.mkdir()
    environment = os.environ | {"TMPDIR": str(temporary)}
    chief = start(*TRAIN, run, workers=ports, index=0)
    config = {"cluster": {"worker": [f"localhost:{port}" for port in ports]}, "task": {"type": "worker", "index": 1}}
    other = subprocess.Popen(
        [sys.executable, "-m", *map(str, TRAIN), str(tmp_path / "other")],
        env=environment | {"TF_CONFIG": json.dumps(config)},
        stdout=subprocess.PIPE,
    )
    output = other.communicate()[0]
    assert (chief.wait(), other.returncode) == (0, 0)
    assert not (tmp_path / "other").exists() and not [*temporary.glob("*/run")]
    assert [line for line in output.splitlines() if b"epoch" in line] == []
