import json
import os

import pytest

from common.errors import UserError
from common.training.run_directory import RunDirectory
from examples.serve import registry
from examples.serve.limits import Refused
from examples.serve.registry import RunRegistry, runs_folder


def make_run(path, example="dcgan", finished=True, created="2026-11-28 12:00:00", seed=1):
    run = RunDirectory.start(path, example, {"data": "/home/someone/pictures", "seed": seed}, {})
    run.config.write_text(json.dumps(json.loads(run.config.read_text()) | {"created": created}))
    if finished:
        run.report.write_text("")
    return run


def test_the_newest_finished_run_answers_unless_another_is_named(tmp_path):
    make_run(tmp_path / "one", created="2026-11-28 12:00:00")
    make_run(tmp_path / "deeper" / "two", created="2026-11-28 13:00:00", seed=2)
    make_run(tmp_path / "three", finished=False, created="2026-11-28 14:00:00", seed=3)
    found = RunRegistry(tmp_path)
    newest, older = found.runs("dcgan")
    assert (newest.name, older.name) == ("deeper/two", "one")
    assert found.choose("dcgan") == newest and found.choose("dcgan", older.id) == older


def test_a_run_that_finishes_later_is_found(tmp_path):
    now = [0.0]
    found = RunRegistry(tmp_path, clock=lambda: now[0])
    assert found.runs() == []
    make_run(tmp_path / "one")
    assert found.runs() == []  # the folder is not read at every request
    now[0] = 1
    assert [run.name for run in found.runs()] == ["one"]


@pytest.mark.parametrize("id_", ["../one", "one", "0" * 12])
def test_a_run_is_chosen_by_an_id_from_the_list_and_never_by_a_path(tmp_path, id_):
    make_run(tmp_path / "one")
    with pytest.raises(Refused, match="/v1/runs lists them"):
        RunRegistry(tmp_path).choose("dcgan", id_)
    with pytest.raises(Refused, match="no finished run of nmt_attention"):
        RunRegistry(tmp_path).choose("nmt_attention")


def test_the_summary_names_no_folder_of_the_machine(tmp_path):
    make_run(tmp_path / "one")
    [run] = RunRegistry(tmp_path).runs()
    assert "/home" not in run.summary and "pictures" in run.summary and str(tmp_path) not in run.name


def test_the_metrics_of_other_weights_are_not_in_the_summary(tmp_path):
    run = make_run(tmp_path / "one")
    (run.checkpoints / "latest-00000005").mkdir()
    run.write_evaluation("held-out", "rule", 1.0, {"frechet_distance": 7.5})
    assert "frechet distance 7.500" in RunRegistry(tmp_path).runs()[0].summary
    (run.checkpoints / "latest-00000010").mkdir()
    assert "frechet" not in RunRegistry(tmp_path).runs()[0].summary


def test_before_it_is_measured_a_run_has_its_least_validation_loss_in_the_summary(tmp_path):
    losses = enumerate((3.0, 1.0, 2.0), start=1)
    rows = [{"epoch": n, "step": n, "seconds": 1.0, "loss": 0.5, "val_loss": loss} for n, loss in losses]
    make_run(tmp_path / "one").write_metrics(rows)
    assert RunRegistry(tmp_path).runs()[0].summary.endswith(" Validation loss 1.000.")


@pytest.mark.parametrize(
    ("metrics", "headline"),
    [({"exact_match": 0.5}, "exact match 0.500"), ({"exact_match": 0.5, "beam": {"cider": 1.2}}, "beam cider 1.200")],
)
def test_captions_without_cider_are_summed_up_by_their_exact_matches(tmp_path, metrics, headline):
    make_run(tmp_path / "one", "image_captioning").write_evaluation("test", "rule", 1.0, metrics)
    assert f"Measured on the test data: {headline}." in RunRegistry(tmp_path).runs()[0].summary


def test_a_damaged_run_is_left_out_and_the_log_says_why(tmp_path, capsys):
    make_run(tmp_path / "one").evaluation.write_text("{")
    assert RunRegistry(tmp_path).runs() == []
    assert "not served" in capsys.readouterr().err


def test_a_model_is_loaded_once_and_only_when_needed(tmp_path, monkeypatch):
    loaded = []
    monkeypatch.setattr(registry, "_load", lambda run: loaded.append(run) or object())
    make_run(tmp_path / "one")
    found = RunRegistry(tmp_path)
    run = found.choose("dcgan")
    assert found.loaded(run) is None
    assert found.model(run) is found.model(run) is found.loaded(run) and len(loaded) == 1


def test_a_run_that_was_trained_on_is_loaded_again(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "_load", lambda run: object())
    run, other = make_run(tmp_path / "one"), make_run(tmp_path / "two", seed=2)
    found = RunRegistry(tmp_path)
    before = [found.model(served) for served in found.runs()]
    os.utime(run.report, ns=(1, 1))
    found.scan()
    after = [found.model(served) for served in found.runs()]
    names = [served.name for served in found.runs()]
    assert [one is two for one, two in zip(before, after, strict=True)] == [name == other.path.name for name in names]


def test_a_run_is_described_anew_when_its_files_change(tmp_path):
    run = make_run(tmp_path / "one")
    config = run.config.read_text()
    run.config.write_text(config[:20])
    found = RunRegistry(tmp_path, clock=iter(range(0, 100, 2)).__next__)
    assert found.runs() == []
    run.config.write_text(config)
    assert "no epoch finished" in found.runs()[0].summary
    run.write_metrics([{"epoch": 1, "step": 10, "seconds": 1.0, "val_loss": 2.0}])
    assert "1 epoch, 10 steps" in found.runs()[0].summary
    run.write_evaluation("held-out", "rule", 1.0, {"frechet_distance": 7.5})
    assert "frechet distance 7.500" in found.runs()[0].summary


@pytest.fixture
def three_runs(tmp_path, monkeypatch):
    """A registry with three runs, which keeps two models."""
    monkeypatch.setattr(registry, "_load", lambda run: object())
    monkeypatch.setattr(registry, "_MAX_LOADED", 2)
    for number in range(3):
        make_run(tmp_path / str(number), seed=number)
    return RunRegistry(tmp_path)


def test_only_the_models_used_last_are_kept(three_runs):
    found = three_runs
    first, second, third = found.runs()
    for run in (first, second, first, third):
        found.model(run)
    assert found.loaded(second) is None and found.loaded(first) and found.loaded(third)


def test_a_model_that_is_used_all_the_time_is_kept(three_runs):
    found = three_runs
    busy, second, third = found.runs()
    for run in (busy, second):
        found.model(run)
    assert found.loaded(busy)
    found.model(third)
    assert found.loaded(busy) and found.loaded(second) is None


@pytest.mark.parametrize("trained_last", ["one", "two"])
def test_of_a_run_and_its_copy_the_one_trained_last_is_served(tmp_path, trained_last):
    for name in ("one", "two"):
        os.utime(make_run(tmp_path / name).report, ns=(1, 1 + (name == trained_last)))
    [run] = RunRegistry(tmp_path).runs()
    assert run.name == trained_last


def test_a_run_that_cannot_be_loaded_is_told_without_its_path(tmp_path, monkeypatch, capsys):
    def fail(run):
        raise UserError(f"{run.directory.path}: damaged")

    monkeypatch.setattr(registry, "_load", fail)
    make_run(tmp_path / "one")
    found = RunRegistry(tmp_path)
    with pytest.raises(Refused, match="cannot be loaded") as refused:
        found.model(found.choose("dcgan"))
    assert refused.value.status_code == 503
    assert str(tmp_path) not in str(refused.value) and str(tmp_path) in capsys.readouterr().err


def test_without_a_run_those_of_the_demo_are_served(tmp_path):
    runs, demo = tmp_path / "runs", tmp_path / "demo"
    assert runs_folder(runs, demo) == runs
    make_run(demo / "dcgan")
    assert runs_folder(runs, demo) == demo
    make_run(runs / "dcgan" / "tiny")
    assert runs_folder(runs, demo) == runs
