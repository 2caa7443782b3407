from dataclasses import replace

import pytest

from benchmarks import quality
from benchmarks.quality import PAGES, PRESETS, as_flag, flags_of, read_records, read_run, table
from common.errors import UserError
from common.training.run_directory import RunDirectory
from examples.text_generation.config import PRESETS as TEXT


def measured_run(path, nats, **changes):
    settings = replace(TEXT["quick"], precision="float32", **changes).settings()
    run = RunDirectory.start(path, "text_generation", settings, {"sha256": "ab"})
    run.write_metrics([{"epoch": 1, "step": 314, "seconds": 90.0, "loss": 2.0}])
    metrics = {"nats_per_char": nats, "bits_per_char": nats / 0.693, "windows_256_nats_per_char": nats + 0.03}
    run.write_evaluation("validation", "the rule", 1.0, metrics)
    return path


@pytest.fixture
def pages(tmp_path, monkeypatch):
    for example in PRESETS:
        (tmp_path / f"{example}.md").write_text(f"# Before\n\n{quality.BEGIN}\nold\n{quality.END}\n\nafter\n")
    monkeypatch.setattr(quality, "PAGES", tmp_path)
    monkeypatch.setattr(quality, "RECORDS", tmp_path / "quality.json")
    return tmp_path


def test_runs_that_differ_in_the_seed_share_a_row(tmp_path, pages):
    runs = [measured_run(tmp_path / str(seed), nats, seed=seed) for seed, nats in ((2, 1.5), (1, 1.25))]
    other = measured_run(tmp_path / "wide", 1.4, units=1024, epochs=4)
    quality.main((*runs, other))
    text = (pages / "text_generation.md").read_text()
    assert text.startswith("# Before\n") and text.endswith(f"{quality.END}\n\nafter\n") and "old" not in text
    rows = [line for line in text.splitlines() if line.startswith("| `--preset")]
    assert len(rows) == 2
    wide = "| `--preset quick --epochs 4 --units 1024 --precision float32` | 1 | 314 | 1.5 | 1.400 | 2.020 | 1.430 |"
    assert rows[1].startswith(wide)
    assert "| `--preset quick --precision float32` | 1, 2 | 314 | 1.5 | **1.375** (1.250, 1.500) | " in rows[0]


def test_a_run_that_is_measured_again_takes_the_place_of_the_earlier_one(tmp_path, pages):
    quality.main((measured_run(tmp_path / "a", 1.5),))
    quality.main((measured_run(tmp_path / "b", 1.25),))
    assert [record.metrics["nats_per_char"] for record in read_records()] == [1.25]


def test_what_training_fills_in_is_no_flag():
    settings = PRESETS["dcgan"]["quick"].settings()
    assert flags_of("dcgan", settings | {"r1_gamma": 28 * 28 / 4096}) == "--preset quick"
    assert flags_of("dcgan", settings | {"r1_gamma": 0.5}) == "--preset quick --r1-gamma 0.5"


def test_a_switch_is_written_as_train_reads_it():
    settings = PRESETS["image_captioning"]["quick"].settings()
    assert flags_of("image_captioning", settings | {"mirror": True}) == "--preset quick --mirror"
    assert as_flag("gradual_unfreezing", False) == "--no-gradual-unfreezing"


def test_a_run_without_evaluation_is_an_error(tmp_path):
    run = RunDirectory(measured_run(tmp_path / "a", 1.5))
    run.evaluation.unlink()
    with pytest.raises(UserError, match="not measured yet: train it, then"):
        read_run(run.path)


@pytest.mark.parametrize("example", PRESETS)
def test_the_published_tables_are_those_of_the_records(example):
    assert (
        f"{quality.BEGIN}\n\n{table(example, read_records())}\n\n{quality.END}" in (PAGES / f"{example}.md").read_text()
    )
