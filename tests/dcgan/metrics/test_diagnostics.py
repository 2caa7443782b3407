from types import SimpleNamespace

import pytest
import tensorflow as tf
from PIL import Image

from examples.dcgan.metrics import diagnostics
from examples.dcgan.metrics.diagnostics import WARM_UP_STEPS, WarnOfFailures, draw_training_curves, failure_warnings

FINE = {"real_accuracy": 0.8, "fake_accuracy": 0.99, "diversity": 0.95}


def test_there_is_no_warning_without_a_failure():
    assert failure_warnings(FINE) == []


def test_a_discriminator_that_dominates_is_named():
    [warning] = failure_warnings(FINE | {"real_accuracy": 0.98})
    assert "discriminator dominates: its accuracy is 98% on real and 99% on fake images" in warning


def test_images_that_repeat_each_other_are_named():
    [warning] = failure_warnings(FINE | {"diversity": 0.3})
    assert "mode collapse" in warning and "30%" in warning


def test_it_warns_once_the_warm_up_is_over_and_then_once_in_as_many_steps(capsys):
    callback, steps = WarnOfFailures(), tf.Variable(0)
    callback.set_model(SimpleNamespace(generator_optimizer=SimpleNamespace(iterations=steps)))
    counts = []
    for step in (WARM_UP_STEPS - 1, WARM_UP_STEPS, WARM_UP_STEPS + 1, 2 * WARM_UP_STEPS):
        steps.assign(step)
        callback.on_epoch_end(3, {"real_accuracy": 1.0, "fake_accuracy": 1.0, "diversity": 0.1})
        counts.append(capsys.readouterr().out.count("warning: "))
    assert counts == [0, 2, 0, 2]


def test_the_metrics_of_a_changed_model_may_be_others():
    assert failure_warnings({"critic_loss": 1.0}) == []


@pytest.mark.parametrize("metrics", [FINE | {"generator_loss": 0.7, "discriminator_loss": 1.3}, {"critic_loss": 1.0}])
def test_the_chart_is_drawn_from_a_single_epoch_on(tmp_path, metrics):
    draw_training_curves([{"epoch": 1} | metrics], tmp_path / "chart.png")
    with Image.open(tmp_path / "chart.png") as chart:
        assert chart.width > 800


def test_each_curve_of_the_chart_has_the_name_of_what_it_shows(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(diagnostics, "save_figure", lambda figure, path: drawn.append(figure))
    row = FINE | {"epoch": 1, "generator_loss": 0.7, "discriminator_loss": 1.3}
    draw_training_curves([row], tmp_path / "chart.png")
    shown = {line.get_label(): line.get_ydata()[0] for axes in drawn[0].axes for line in axes.lines}
    assert shown == {
        "generator": 0.7, "discriminator": 1.3, "fake images": 0.99, "real images": 0.8, "generated / real": 0.95,
        "warning above": diagnostics.DOMINANCE_ACCURACY, "warning below": diagnostics.COLLAPSE_DIVERSITY,
    }  # fmt: skip
