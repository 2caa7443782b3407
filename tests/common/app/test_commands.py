from types import SimpleNamespace

import pytest

from common.app import commands
from common.errors import UserError
from common.training.run_directory import RunDirectory


def test_metrics_are_printed_one_a_line_and_the_report_is_written_on_request(tmp_path, capsys, monkeypatch):
    run, written = RunDirectory(tmp_path), []
    module = SimpleNamespace(
        evaluate=lambda options: {"beam": {"bleu": 40.0}, "loss": 1.5},
        write_report=lambda run: written.append(run.path) or run.path / "report.html",
    )
    monkeypatch.setattr(commands, "import_module", lambda name: module)
    for write in (False, True):
        commands.evaluate("examples.toy", SimpleNamespace(run=tmp_path, write=write, test_data=None))
    lines = capsys.readouterr().out.splitlines()
    metrics = ["beam bleu 40.0000  higher is better", "loss      1.5000"]
    assert lines == [*metrics, *metrics, f"written: {run.evaluation}, {tmp_path / 'report.html'}"]
    assert written == [tmp_path]


def test_the_command_to_try_next_is_quoted_for_the_shell(tmp_path, monkeypatch, capsys):
    run = RunDirectory(tmp_path / "my novel")
    module = SimpleNamespace(train=lambda config: run, write_report=lambda run: run.report)
    monkeypatch.setattr(commands, "import_module", lambda name: module)
    commands.train("examples.toy", "evaluate --run {run}{data_dir}", SimpleNamespace(data_dir="my data"))
    assert f"examples.toy evaluate --run '{run.path}' --data-dir 'my data'\n" in capsys.readouterr().out


def test_a_model_is_exported_into_its_run_or_where_the_user_says(tmp_path, capsys, monkeypatch):
    run, calls = RunDirectory.start(tmp_path, "toy", {}, {}), []
    modules = {
        "examples.toy.demo": SimpleNamespace(Toy=SimpleNamespace(load=lambda run: "model")),
        "examples.toy.export": SimpleNamespace(export=lambda *arguments: calls.append(arguments) or arguments[1]),
    }
    monkeypatch.setattr(commands, "import_module", modules.__getitem__)
    for out in (None, tmp_path / "served"):
        commands.export("examples.toy", "Toy", SimpleNamespace(run=tmp_path, out=out, overwrite=True))
    assert [call[1] for call in calls] == [tmp_path / "saved_model", tmp_path / "served"]
    assert capsys.readouterr().out == "".join(f"written: {call[1]}\n" for call in calls)
    assert all(call == ("model", call[1], run.identity, True) for call in calls)


def test_a_run_that_cannot_be_written_is_not_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(commands.os, "access", lambda path, mode: False)
    with pytest.raises(UserError, match="read-only.*--no-write"):
        commands.evaluate("examples.toy", SimpleNamespace(run=tmp_path, write=True))
