from dataclasses import replace

import pytest

from common.nn.adam import Adam
from examples.text_generation import train as training
from examples.text_generation.config import PRESETS, Config
from examples.text_generation.demo import build_model
from examples.text_generation.train import build_optimizer, build_schedule, muon_rms_rate


def built(**settings):
    config = Config(units=8, embedding_dim=4, batch_size=2, window=5, **settings)
    model = build_model(config, vocabulary_size=7)
    optimizer = build_optimizer(config, build_schedule(config, total_steps=10))
    optimizer.build(model.trainable_variables)
    return model, optimizer


@pytest.mark.parametrize("layers, cell", [(1, "gru"), (2, "gru"), (1, "lstm")])
def test_muon_steps_the_matrices_of_the_recurrent_layers_and_nothing_else(layers, cell):
    model, optimizer = built(layers=layers, cell=cell)
    is_muons = [second is None for second in optimizer.adam_velocities]
    stepped = [v.path for v, is_its in zip(model.trainable_variables, is_muons, strict=True) if is_its]
    assert len(stepped) == 2 * layers
    assert all(f"{cell}_cell" in path and path.endswith("kernel") for path in stepped)


def test_adam_steps_everything_when_asked():
    _, optimizer = built(optimizer="adam")
    assert type(optimizer) is Adam


def test_both_optimizers_are_set_as_the_flags_say():
    configs = [Config(optimizer=kind, clip_norm=0.5, beta_2=0.9, weight_decay=0.1) for kind in ("adam", "muon")]
    adam, muon = (build_optimizer(config, build_schedule(config)) for config in configs)
    assert adam.global_clipnorm == muon.global_clipnorm == 0.5 and adam.beta_2 == muon.adam_betas[1] == 0.9
    assert adam.weight_decay == muon.weight_decay == 0.1


def test_muons_step_is_planned_with_the_run():
    config = Config(muon_rms_rate=0.8)
    schedule = build_schedule(config, total_steps=942)
    assert float(muon_rms_rate(config, schedule)) == pytest.approx(0.8)
    schedule.total_steps.assign(4 * 942)  # as by the trainer, when it has seen how many steps the time allows
    assert float(muon_rms_rate(config, schedule)) == pytest.approx(0.4)
    schedule.total_steps.assign(1)
    assert float(muon_rms_rate(config, schedule)) == pytest.approx(0.8 * 4.71**0.5), "that of 200 steps"


def test_the_plan_for_a_text_of_ones_own_counts_windows(tmp_path, monkeypatch):
    (tmp_path / "mine.txt").write_text("To be or not to be. " * 500)
    counts = []
    monkeypatch.setattr(training, "fit_plan", lambda config, count, *_, **__: counts.append(count) or 1 / 0)
    config = replace(PRESETS["tiny"], run_dir=tmp_path / "run").with_data(str(tmp_path / "mine.txt"), window=50)
    with pytest.raises(ZeroDivisionError):
        training.train(config)
    assert counts == [0.9 * 10_000 / 50]
