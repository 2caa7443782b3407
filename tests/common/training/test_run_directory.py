import json
import os
from pathlib import Path

import numpy as np
import pytest

from common.errors import UserError
from common.io.files import is_temporary, temporary_path
from common.io.lock import exclusive
from common.training.run_directory import RunDirectory


def start(path, settings=None, data=None, fresh=False, example="toy"):
    return RunDirectory.start(path, example, settings or {"units": 3}, data or {"sha256": "ab"}, fresh)


def test_the_same_settings_open_the_same_run(tmp_path):
    created = start(tmp_path / "run").read_config()
    assert start(tmp_path / "run").read_config() == created
    assert created.settings == {"units": 3} and {"python", "tensorflow", "keras"} <= created.versions.keys()


def test_only_the_number_of_epochs_may_grow(tmp_path):
    run = start(tmp_path / "run", settings={"units": 3, "epochs": 2})
    identity = run.identity
    run = start(tmp_path / "run", settings={"units": 3, "epochs": 5})
    config = run.read_config()
    assert config.settings["epochs"] == 5 and run.identity == identity
    assert len(config.extensions) == 1 and config.extensions[0].endswith("5 epochs instead of 2")
    with pytest.raises(UserError, match="epochs 5 there, 4 now.*only --epochs may be larger"):
        start(tmp_path / "run", settings={"units": 3, "epochs": 4})
    with pytest.raises(UserError, match=r"\(units 3 there, 4 now\)"):
        start(tmp_path / "run", settings={"units": 4, "epochs": 9})
    assert run.read_config() == config


def test_the_settings_of_a_run_that_another_process_trains_do_not_change(tmp_path):
    run = start(tmp_path / "run", settings={"units": 3, "epochs": 2})
    with exclusive(run.lock), pytest.raises(UserError, match="is training there"):
        start(tmp_path / "run", settings={"units": 3, "epochs": 5})
    assert run.read_config().settings["epochs"] == 2 and not run.read_config().extensions


def test_a_forgotten_preset_is_named(tmp_path):
    start(tmp_path, settings={"preset": "tiny", "units": 3})
    with pytest.raises(UserError, match="to resume, add --preset tiny .only --epochs"):
        start(tmp_path, settings={"preset": "quick", "units": 9})
    with pytest.raises(UserError, match="to resume, use those .only --epochs"):
        start(tmp_path, settings={"preset": "tiny", "units": 9})


def test_runs_with_other_settings_or_data_have_another_identity(tmp_path):
    runs = [start(tmp_path / "a", {"units": 3}), start(tmp_path / "b", {"units": 4})]
    runs.append(start(tmp_path / "c", {"units": 3}, data={"sha256": "cd"}))
    assert len({run.identity for run in runs}) == 3


def test_a_run_of_another_example_is_refused(tmp_path):
    start(tmp_path)
    with pytest.raises(UserError, match="a run of toy"):
        start(tmp_path, example="other")


def test_fresh_moves_the_old_run_aside(tmp_path):
    path = tmp_path / "run"
    for units in (1, 2, 3):
        start(path, settings={"units": units}, fresh=True)
    kept = [RunDirectory(tmp_path / name).read_config().settings["units"] for name in ("run.old-1", "run.old-2", "run")]
    assert kept == [1, 2, 3]


def test_fresh_takes_an_empty_folder_and_moves_no_folder_of_runs(tmp_path):
    start(tmp_path / "runs" / "one")
    with pytest.raises(UserError, match="not empty and not a run directory"):
        start(tmp_path / "runs", fresh=True)
    (tmp_path / "empty").mkdir()
    assert start(tmp_path / "empty", fresh=True).config.exists()
    assert sorted(os.listdir(tmp_path)) == ["empty", "runs"]


def test_fresh_does_not_move_the_current_folder_away(tmp_path, monkeypatch):
    run = start(tmp_path)
    for folder in (run.path, run.samples):
        monkeypatch.chdir(folder)
        with pytest.raises(UserError, match="from inside it; change to a folder above"):
            start(Path(os.path.relpath(run.path)), fresh=True)


def test_the_same_parallel_files_may_have_other_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.de").touch()
    created = start(tmp_path / "run", settings={"data": "gone/a.de,gone/b.en"}).read_config()
    assert start(tmp_path / "run", settings={"data": "a.de,b.en"}).read_config() == created


def test_a_folder_with_other_files_is_not_taken_over(tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(UserError, match="not a run directory"):
        start(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be created"):
        start(tmp_path / "file")


def test_a_start_that_was_killed_is_started_again(tmp_path):
    temporary_path(tmp_path / "config.json").write_text("{")
    assert start(tmp_path).config.exists()


def test_only_runs_of_the_example_open(tmp_path):
    with pytest.raises(UserError, match="not a run directory"):
        RunDirectory.open(tmp_path, "toy")
    start(tmp_path)
    assert RunDirectory.open(tmp_path, "toy").path == tmp_path
    with pytest.raises(UserError, match=r"examples\.toy"):
        RunDirectory.open(tmp_path, "other")


def test_metrics_keep_every_digit(tmp_path):
    run = start(tmp_path)
    assert run.read_metrics() == []
    rows = [{"epoch": 1.0, "step": 5.0, "seconds": 0.1, "loss": 1 / 3}]
    run.write_metrics(rows)
    assert run.read_metrics() == rows
    assert run.metrics.read_text().startswith("epoch,step,seconds,loss\n")


def test_epochs_may_have_other_metrics_than_those_before(tmp_path):
    run = start(tmp_path)
    first = {"epoch": 1.0, "step": 5.0, "seconds": 0.1, "loss": 1.0}
    run.write_metrics([first | {"old": 2.0}, first | {"new": 3.0}])
    found = run.read_metrics("loss")
    assert [*found[0]] == [*first, "old", "new"]
    assert found[0]["old"] == 2 and found[1]["new"] == 3
    assert np.isnan([found[0]["new"], found[1]["old"]]).all()


def test_an_evaluation_carries_its_rule(tmp_path):
    run = start(tmp_path)
    assert run.read_evaluation() is None
    run.write_evaluation("test", "the rule", 1.26, {"bleu": 40.5})
    assert json.loads(run.evaluation.read_text()) == {
        "split": "test", "rule": "the rule", "seconds": 1.3, "metrics": {"bleu": 40.5}, "step": None,
    }  # fmt: skip


def test_an_evaluation_of_the_latest_weights_ends_with_the_next_and_one_of_an_earlier_version_is_kept(tmp_path):
    run = start(tmp_path)
    (run.checkpoints / "latest-00000009").mkdir()
    run.write_evaluation("test", "the rule", 1.0, {})
    (run.checkpoints / "latest-00000010").mkdir()
    assert run.read_evaluation() is None
    entry = json.loads(run.evaluation.read_text())
    del entry["step"]  # as of an earlier version
    run.evaluation.write_text(json.dumps(entry))
    assert run.read_evaluation().rule == "the rule"


def test_a_file_that_cannot_be_replaced_stays_and_nothing_is_left(tmp_path, monkeypatch):
    run = start(tmp_path)
    run.write_metrics([{"epoch": 1}])
    monkeypatch.setattr(os, "replace", lambda *_: os.stat(tmp_path / "not there"))
    with pytest.raises(OSError):
        run.write_metrics([{"epoch": 2}])
    assert run.metrics.read_text() == "epoch\n1\n" and not any(map(is_temporary, tmp_path.iterdir()))


def test_two_files_of_data_are_found_again_from_another_folder(tmp_path, monkeypatch):
    (tmp_path / "a.de").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    run = RunDirectory.start(tmp_path / "run", "toy", settings={"data": "a.de,b.en"}, data={})
    assert run.data_to_use(None, ()) == f"{tmp_path}/a.de,{tmp_path}/b.en"


def test_fresh_moves_runs_only(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "novel.txt").touch()
    with pytest.raises(UserError):
        start(tmp_path / "mine", fresh=True)
    assert (tmp_path / "mine" / "novel.txt").exists()


def test_the_same_data_may_have_another_path(tmp_path):
    (tmp_path / "novel.txt").touch()
    run = start(tmp_path / "run", {"data": "on_another_machine/novel.txt"})
    there = {"data": str(tmp_path / "novel.txt")}
    assert start(tmp_path / "run", there).identity == run.identity
    for settings, data in ((there, {"sha256": "cd"}), ({"data": "tiny"}, None)):
        with pytest.raises(UserError, match="other settings"):
            start(tmp_path / "run", settings, data)


def test_metrics_are_those_of_the_weights_that_are_there(tmp_path):
    run = start(tmp_path / "run")
    (run.checkpoints / "best-00000005").mkdir(parents=True)
    run.write_evaluation("test", "mean", 1.0, {"loss": 1.0})
    assert run.read_evaluation().metrics == {"loss": 1.0}
    (run.checkpoints / "best-00000005").rename(run.checkpoints / "best-00000010")
    assert run.read_evaluation() is None
