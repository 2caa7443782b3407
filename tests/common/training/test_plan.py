import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import pytest

from common.app.cli import TrainOptions
from common.errors import UserError
from common.training.plan import fit_plan, stored_plan
from common.training.run_directory import RunDirectory

FREE = ("epochs", "batch_size")


@dataclass(frozen=True, kw_only=True)
class Options(TrainOptions):
    EXAMPLE: ClassVar[str] = "toy"

    precision: str = "float32"
    epochs: int = 3
    batch_size: int = 128
    adaptable: tuple[str, ...] = FREE


def steps(config, examples):
    return config.epochs * -(-examples // config.batch_size)


@pytest.mark.parametrize("examples", [1, 20, 500, 3000])
def test_few_examples_get_more_epochs_and_smaller_batches(capsys, examples):
    config = fit_plan(Options(), examples, "x", min_steps=600)
    assert 16 <= config.batch_size <= 128
    assert steps(config, examples) >= 600 or config.epochs == 300
    assert "plan: " in capsys.readouterr().out


def test_enough_examples_change_nothing(capsys):
    assert fit_plan(Options(), 100_000, "x", min_steps=600) == Options()
    assert capsys.readouterr().out == ""


def test_what_a_flag_set_stays():
    assert fit_plan(Options(adaptable=()), 500, "x", 600) == Options(adaptable=())
    config = fit_plan(Options(adaptable=("epochs",)), 500, "x", 600)
    assert config.batch_size == 128 and config.epochs == 150
    assert fit_plan(Options(adaptable=("batch_size",)), 500, "x", 600).epochs == 3
    assert fit_plan(Options(adaptable=FREE, steps_per_epoch=2), 500, "x", 600).epochs == 3  # a first try stays short


def test_the_plan_says_what_the_settings_before_it_would_be(capsys):
    fit_plan(Options(adaptable=("batch_size",), epochs=60), 60, "60 pairs", 600)
    plan = "plan: 60 epochs in batches of 16, 240 steps, for 60 pairs; 60 epochs in batches of 128 would be 60 steps "
    assert capsys.readouterr().out.startswith(plan)


def test_an_epoch_has_all_of_the_users_examples():
    capped = Options(steps_per_epoch=2)
    assert fit_plan(capped, 100_000, "x", 600).steps_per_epoch == 2
    fitted = fit_plan(replace(capped, adaptable=Options.ADAPTABLE), 100_000, "x", 600)
    assert (fitted.steps_per_epoch, fitted.epochs, fitted.batch_size) == (None, 3, 128)


def start(path: Path, config, example="toy"):
    return RunDirectory.start(path, example, settings=config.settings(), data={})


def test_a_resumed_run_keeps_its_plan(tmp_path):
    start(tmp_path / "run", Options(epochs=77, batch_size=16))
    resumed = stored_plan(Options(run_dir=tmp_path / "run"))
    assert (resumed.epochs, resumed.batch_size, resumed.adaptable) == (77, 16, ())
    explicit = stored_plan(Options(run_dir=tmp_path / "run", epochs=99, adaptable=("batch_size",)))
    assert (explicit.epochs, explicit.batch_size) == (99, 16)


def test_other_settings_than_those_of_the_run_are_told_before_the_data_is_loaded(tmp_path):
    start(tmp_path / "run", Options(epochs=77))
    with pytest.raises(UserError, match=r"with other settings \(epochs 77 there, 5 now; seed 1 there, 2 now\)"):
        stored_plan(Options(run_dir=tmp_path / "run", epochs=5, seed=2, adaptable=("batch_size",)))
    with pytest.raises(UserError, match=r"seed 1 there, 2 now"):
        stored_plan(Options(run_dir=tmp_path / "run", epochs=77, seed=2, adaptable=()))
    for fresh in (Options(run_dir=tmp_path / "run", fresh=True), Options(run_dir=tmp_path / "none")):
        assert stored_plan(fresh) == fresh


def test_a_run_that_is_another_or_damaged_gives_no_plan(tmp_path):
    run = start(tmp_path / "run", Options(), example="other")
    with pytest.raises(UserError, match="a run of other, not of toy"):
        stored_plan(Options(run_dir=run.path))
    content = json.loads(run.config.read_text()) | {"example": "toy"}
    content["settings"]["epochs"] = "many"
    run.config.write_text(json.dumps(content))
    with pytest.raises(UserError, match="epochs"):
        stored_plan(Options(run_dir=run.path))
