import json

import pytest
import tyro

from benchmarks import __main__ as page
from benchmarks import gpu, measure
from benchmarks.measure import Table, alternate, goal, rates, ratio


def test_ways_take_turns_after_each_ran_once():
    calls = []
    seconds = alternate({"one": lambda: calls.append(1), "two": lambda: calls.append(2)}, turns=3)
    assert calls == [1, 2] * 4 and [len(times) for times in seconds.values()] == [3, 3]


def test_a_ratio_compares_times_of_the_same_turn():
    assert ratio([1.0, 10.0, 3.0], [2.0, 20.0, 9.0]) == 2.0  # the second turn was slow for both


def test_a_goal_says_whether_it_is_reached():
    assert goal("images a second", 1234.4, least=1000) == ("images a second", "1,234", "at least 1,000", "yes")
    assert goal("apart", 0.06, most=0.05, form=".0%") == ("apart", "6%", "at most 5%", "no")


def test_a_rate_is_of_the_median_turn():
    assert rates({"one": [1.0, 9.0, 2.0]}, {"one": 10}) == {"one": 5.0}


def test_the_page_is_made_of_what_the_parts_saved(tmp_path, monkeypatch):
    goals = [goal("seconds to help", 0.1, most=1, form=".1f")]
    table = Table("Start-up", "Seconds.", ["example", "help"], [["dcgan", "0.1"]], goals, measured="today, here")
    for module in (measure, page):
        monkeypatch.setattr(module, "RESULTS", tmp_path)
    monkeypatch.setattr(page, "PAGE", tmp_path / "RESULTS.md")
    monkeypatch.setattr(measure.sys.modules["__main__"], "__file__", "benchmarks/start_up.py", raising=False)
    table.save()
    assert json.loads((tmp_path / "start_up.json").read_text())["rows"] == [["dcgan", "0.1"]]
    page.write_page()
    text = (tmp_path / "RESULTS.md").read_text()
    assert "| seconds to help | 0.1 | at most 1.0 | yes |\n\n## Start-up" in text
    assert "## Start-up\n\nSeconds.\n\n| example | help |\n| --- | --- |\n| dcgan | 0.1 |" in text and "today" in text


def test_the_published_page_is_that_of_the_saved_tables(tmp_path, monkeypatch):
    published = page.PAGE.read_text(encoding="utf-8")
    monkeypatch.setattr(page, "PAGE", tmp_path / "RESULTS.md")
    page.write_page()
    assert page.PAGE.read_text(encoding="utf-8") == published


def test_a_part_that_does_not_exist_is_refused(monkeypatch):
    monkeypatch.setattr(page, "write_page", lambda: None)
    with pytest.raises(SystemExit):
        tyro.cli(page.main, args=["--only", "typo"])


def test_keras_layers_are_trained_by_the_same_loop_as_those_here(monkeypatch):
    config = gpu.TextConfig(units=8, batch_size=2, window=5)
    monkeypatch.setattr(gpu, "TextConfig", lambda: config)
    monkeypatch.setattr(gpu.keras.Model, "train_on_batch", None)
    losses = gpu.keras_characters("float32")()
    assert len(losses) == gpu.STEPS and losses[-1] < losses[0]
