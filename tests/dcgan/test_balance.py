import pytest
from PIL import Image

from examples.dcgan.balance import WatchBalance, draw_balance, warnings_about

FINE = {"right_on_real": 0.8, "right_on_made": 0.99, "diversity": 0.95}


def test_nothing_is_said_when_all_is_well():
    assert warnings_about(FINE) == []


def test_a_discriminator_that_wins_is_named():
    [warning] = warnings_about(FINE | {"right_on_real": 0.98})
    assert "discriminator is winning: right on 98% of real and 99% of made" in warning


def test_images_that_repeat_each_other_are_named():
    [warning] = warnings_about(FINE | {"diversity": 0.3})
    assert "repeat each other" in warning and "30%" in warning and "mode collapse" in warning


@pytest.mark.parametrize(("steps", "lines"), [(100, 0), (1000, 2)])
def test_it_speaks_after_every_epoch_once_the_first_steps_are_over(capsys, steps, lines):
    class Model:
        pass

    watch = WatchBalance()
    watch.set_model(Model())
    watch.model.steps = steps
    watch.on_epoch_end(3, {"right_on_real": 1.0, "right_on_made": 1.0, "diversity": 0.1})
    assert capsys.readouterr().out.count("warning: ") == lines


def test_the_chart_is_drawn_from_a_single_epoch_on(tmp_path):
    row = FINE | {"epoch": 1, "generator_loss": 0.7, "discriminator_loss": 1.3}
    draw_balance([row], tmp_path / "chart.png")
    with Image.open(tmp_path / "chart.png") as chart:
        assert chart.width > 800
