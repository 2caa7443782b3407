import json

import pytest

from common.training.run_directory import RunDirectory
from tests.downloads import ROOT
from tools import gpu_check
from tools.gpu_check import REFERENCES, check, judge, steps_a_second


@pytest.mark.parametrize(
    ("example", "metrics", "result"),
    [
        ("text_generation", {"nats_per_char": 1.43}, "as on a processor"),
        ("text_generation", {"nats_per_char": 1.45}, "2.2% worse than on a processor"),
        ("dcgan", {"frechet_distance": 2.99}, "5.3% worse than on a processor"),
        ("nmt_attention", {"beam": {"bleu": 60.0}}, "as on a processor"),
        ("nmt_attention", {"beam": {"bleu": 50.0}}, "5.5% worse than on a processor"),
    ],
)
def test_judge(example, metrics, result, tmp_path):
    evaluation = {"split": "test", "rule": "", "seconds": 1.0, "metrics": metrics}
    (tmp_path / "evaluation.json").write_text(json.dumps(evaluation))
    assert judge(example, "quick", RunDirectory(tmp_path))["result"] == result


def test_the_speed_is_that_of_the_last_epoch():
    """The first includes the time of compiling."""
    assert steps_a_second([{"step": 100, "seconds": 60}, {"step": 200, "seconds": 70}]) == "10.0"
    assert steps_a_second([{"step": 100, "seconds": 50}]) == ""


def test_the_minutes_are_those_of_training_before_and_after_a_resume(tmp_path, monkeypatch):
    monkeypatch.setattr(gpu_check, "_command", lambda *_: "error: stopped")
    run = RunDirectory(tmp_path / "dcgan-quick-float32")
    run.path.mkdir()
    run.write_metrics([{"epoch": 1, "step": 10, "seconds": 90.0}, {"epoch": 2, "step": 20, "seconds": 150.0}])
    assert check("dcgan", "quick", "float32", tmp_path, [])["minutes"] == "2.5"


@pytest.mark.parametrize("example", REFERENCES)
def test_the_references_are_published(example):
    published = (ROOT / "docs" / "results" / f"{example}.md").read_text(encoding="utf-8")
    assert f"**{REFERENCES[example].value}**" in published
