"""Group C, in processes that are killed: nothing that was saved is lost, and nothing is left lying about."""

import json
import os
import subprocess
import sys

import pytest

from common.io import files
from common.training.run_directory import RunDirectory
from examples.__main__ import example_names
from tests.downloads import ROOT
from tests.faults import random_kills
from tests.nightly import some_nightly
from tests.same_run import assert_same_run


@pytest.mark.slow
@pytest.mark.parametrize("example", some_nightly(example_names(), "dcgan", "image_captioning", "nmt_attention"))
def test_c03_random_kills_leave_no_trace(tmp_path, example):
    """A kill; `python -m tests.faults.random_kills` does any number."""
    short = {"steps_per_epoch": 6}
    whole, run = random_kills.uninterrupted(example, tmp_path, **short), RunDirectory(tmp_path / "killed")
    random_kills.survive(example, run, random_kills.newest_step(whole), kills=1, seed=3, **short)
    assert_same_run(run, whole)
    random_kills.assert_nothing_left(run)
    for kind in ("*.txt", "*.png"):
        samples, others = ([path.read_bytes() for path in sorted(each.samples.glob(kind))] for each in (run, whole))
        assert samples == others


class Killed(BaseException):
    """As if by `kill -9`: nothing catches it."""


DRAWN = {  # in the order in which they are written
    "dcgan": ["samples/epoch_0000.png", "samples/epoch_0001.png", "figures/training.gif"],
    "image_captioning": ["samples/epoch_0001.png", "figures/caption_1.gif"],
    "nmt_attention": ["samples/epoch_0001.json", "figures/attention_1.png"],
    "text_generation": ["samples/epoch_0001.txt", "figures/learning_curve.png", "report.html"],
}


@pytest.mark.slow
@pytest.mark.parametrize("example", some_nightly(DRAWN, "dcgan", "nmt_attention", "image_captioning"))
def test_c23_a_kill_while_a_picture_is_written_leaves_none_or_a_whole_one(tmp_path, monkeypatch, command, example):
    """And the same command goes on, to the same pictures."""

    def train(name):
        flags = ["--preset", "tiny", "--epochs", 1, "--steps-per-epoch", 2, "--run-dir", tmp_path / name]
        assert command(example, "train", *flags) == 0

    train("whole")
    replace = os.replace
    for place in DRAWN[example]:

        def killed(part, path, place=place):
            if str(path).endswith(place):
                os.truncate(part, os.path.getsize(part) // 2)
                raise Killed
            replace(part, path)

        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", killed)
            patch.setattr(files, "delete", lambda path: None)  # whoever is killed does not tidy up
            with pytest.raises(Killed):
                train("killed")
        assert not (tmp_path / "killed" / place).exists()
    train("killed")
    for place in DRAWN[example]:
        one, other = (tmp_path / name / place for name in ("whole", "killed"))
        assert one.read_bytes() == other.read_bytes() or place == "report.html"
    random_kills.assert_nothing_left(RunDirectory(tmp_path / "killed"))


def killed_saves(folder, *arguments):
    command = [sys.executable, "-m", "tests.faults.killed_saves", str(folder), *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_c04_kill_at_every_call_of_one_save(tmp_path):
    """Wherever a save is killed, the one before or that one is restored, the next one works, and nothing stays."""
    steps_restored = killed_saves(tmp_path, "--at-every-call")
    assert len(steps_restored) > 10 and set(steps_restored) == {3, 4}  # the new one counts after the rename only
    assert steps_restored == sorted(steps_restored)


@pytest.mark.nightly
def test_c11_fifty_kills_leave_no_litter(tmp_path):
    """Kills at random moments of saves back to back: no acknowledged save is lost, the next start sweeps."""
    report = killed_saves(tmp_path, "--kills", "50")
    assert report["lost"] == 0 and report["most_names"] <= 4  # two, the one written, the one deleted


@pytest.mark.slow
def test_c05_the_command_line_ends_with_143_and_says_where_it_stands(tmp_path):
    process = random_kills.start("text_generation", RunDirectory(tmp_path / "run"))
    for line in process.stdout:
        if line.startswith("epoch 1/"):
            process.terminate()
            break
    _, errors = process.communicate()
    assert process.returncode == 143 and "stopped by SIGTERM: saved at step" in errors and "Traceback" not in errors
    assert "the same command, without --fresh, resumes there" in errors
