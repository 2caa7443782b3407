import shlex
from html.parser import HTMLParser
from importlib import import_module

import pytest
import tyro
from PIL import Image

from common.app import report
from common.errors import UserError
from common.training.run_directory import RunConfig, RunDirectory
from examples.__main__ import example_names
from examples.text_generation.config import PRESETS


class Tags(HTMLParser):
    def __init__(self, page):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def make_run(tmp_path):
    settings = {"preset": "tiny", "data": "tiny", "patience": None, "prompt": "it's"}
    run = RunDirectory.start(tmp_path / "run", "toy", settings, {"sha256": "ab"})
    run.write_metrics([{"epoch": 1, "step": 5, "seconds": 2.0, "loss": 1.0}])
    return run


def test_the_page_needs_nothing_else_and_describes_its_pictures(tmp_path):
    Image.new("RGB", (30, 20)).save(tmp_path / "a.png")
    picture = report.Picture(tmp_path / "a.png", "a black box")
    page = report.write_page(tmp_path / "r.html", "T", "lead", [report.Section("H", pictures=[picture])]).read_text()
    (image,) = [attributes for tag, attributes in Tags(page).tags if tag == "img"]
    assert image["alt"] == "a black box" and (image["width"], image["height"]) == ("30", "20")
    assert image["src"].startswith("data:image/png;base64,")
    assert "http" not in page and "<script" not in page


def test_a_link_to_nothing_is_no_free_place_for_a_page(tmp_path):
    (tmp_path / "r.html").symlink_to(tmp_path / "gone")
    assert report.is_free_for_page(tmp_path / "gone")
    with pytest.raises(UserError, match="r.html: a link"):
        report.is_free_for_page(tmp_path / "r.html")


def test_a_picture_that_claims_too_many_pixels_is_none(tmp_path, monkeypatch):
    Image.new("RGB", (30, 20)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(UserError, match="a.png: not a picture; delete it"):
        _ = report.Picture(tmp_path / "a.png", "").size


def test_data_is_never_markup(tmp_path):
    nasty = "<script>alert(1)</script>"
    section = report.Section(nasty, nasty, [(nasty, nasty)], listings=[(nasty, nasty)], links=[(nasty, "a.html")])
    page = report.write_page(tmp_path / "r.html", nasty, nasty, [section]).read_text()
    parsed = Tags(page)
    assert not any(tag == "script" for tag, _ in parsed.tags)
    assert parsed.text.count(nasty) == 10


def test_text_has_the_direction_of_its_own_script(tmp_path):
    arabic = "القطة"
    section = report.Section("H", arabic, [(arabic, arabic)], listings=[(arabic, arabic)])
    page = report.write_page(tmp_path / "r.html", "T", "lead", [section]).read_text()
    automatic = [tag for tag, attributes in Tags(page).tags if attributes.get("dir") == "auto"]
    assert {"p", "td", "h3", "pre"} <= {*automatic} and "unicode-bidi: plaintext" in page


def test_of_many_listings_the_last_is_shown_and_the_others_are_folded(tmp_path):
    section = report.Section("H", listings=[("first", "1"), ("second", "2"), ("last", "3")])
    page = report.write_page(tmp_path / "r.html", "T", "lead", [section]).read_text()
    shown, folded = page.split("<details>")
    assert "last" in shown and "first" not in shown and folded.index("first") < folded.index("second")


def test_the_command_trains_the_same_run_again(tmp_path):
    command = report.training_command(make_run(tmp_path).read_config())
    assert (
        command == "python -m examples.toy train --preset tiny --data tiny --prompt 'it'\"'\"'s' --run-dir runs/again"
    )


@pytest.mark.parametrize("example", example_names())
@pytest.mark.parametrize("preset", ["tiny", "quick", "full"])
def test_the_command_means_the_same_settings(example, preset):
    presets = import_module(f"examples.{example}.config").PRESETS
    settings = presets[preset].settings()
    words = shlex.split(report.training_command(RunConfig(example, settings, {}, {}, "")))
    assert tyro.cli(type(presets[preset]), args=words[4:]).settings() == settings


def test_a_setting_that_looks_like_a_flag_is_none():
    settings = PRESETS["tiny"].settings() | {"prompt": "-x"}
    words = shlex.split(report.training_command(RunConfig("text_generation", settings, {}, {}, "")))
    assert tyro.cli(type(PRESETS["tiny"]), args=words[4:]).settings() == settings


def test_what_was_measured_comes_with_its_rule(tmp_path):
    run = make_run(tmp_path)
    assert report.section_on_evaluation(run) is None
    run.write_evaluation("test", "mean of all", 1.0, {"loss": 1.23456})
    section = report.section_on_evaluation(run)
    assert "mean of all" in section.text and section.table == [("loss", "1.2346")]
    assert dict(report.section_on_run(run).table)["trained"] == "1 epoch, 5 steps, 2 s"


def test_the_metrics_of_other_weights_are_left_out(tmp_path):
    run = make_run(tmp_path)
    (run.checkpoints / "best-00000005").mkdir()
    run.write_evaluation("test", "mean of all", 1.0, {"loss": 1.2})
    assert report.section_on_evaluation(run)
    (run.checkpoints / "best-00000005").rename(run.checkpoints / "best-00000009")
    assert report.section_on_evaluation(run) is None


def test_the_title_names_all_of_the_data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"corpus/news.de,corpus/news.en": "news.de,news.en", ".": tmp_path.name, "/photos/": "photos"}
    for number, (data, name) in enumerate(names.items()):
        run = RunDirectory.start(tmp_path / str(number), "toy", {"data": data}, {})
        assert report.summary_line(run).startswith(f"Trained on {name}: ")


def test_a_page_says_in_short_what_was_trained(tmp_path):
    run = make_run(tmp_path)
    assert report.summary_line(run).startswith("Trained on tiny: 1 epoch, 5 steps, 2 s; started 20")
    run.write_metrics([])
    assert "no epoch finished yet" in report.summary_line(run)


def test_the_summary_says_which_epoch_is_used(tmp_path):
    run = make_run(tmp_path)
    losses = enumerate((3.0, 1.0, 2.0), start=1)
    rows = [{"epoch": n, "step": n, "seconds": 2.0, "loss": 1.0, "val_loss": loss} for n, loss in losses]
    run.write_metrics(rows)
    assert "; the weights used are those after epoch 2, the best; started" in report.summary_line(run)
    run.write_metrics(rows[:2])
    assert "the best" not in report.summary_line(run)


DIRECTIONS = {
    "beam bleu_4": "higher is better", "greedy bleu_1_to_5_words": "higher is better",
    "frechet_distance": "lower is better", "frechet_floor": "",
    "greedy ter": "lower is better", "windows_256_nats_per_char": "lower is better", "inception_score_of_real": "",
    "pointing_centre": "", "pointing": "higher is better", "pointing_difficult": "higher is better",
    "pointing_error": "", "perplexity": "lower is better",
    "bits_per_byte": "lower is better", "accuracy": "higher is better", "beam chrf": "higher is better",
    "beam cider": "higher is better", "greedy rouge_l": "higher is better", "exact_match": "higher is better",
    "inception_score": "higher is better", "classes_covered": "higher is better",
}  # fmt: skip


@pytest.mark.parametrize("name", DIRECTIONS)
def test_a_metric_says_which_direction_is_better(name):
    assert report.direction(name) == DIRECTIONS[name]


def test_classes_are_one_line():
    metrics = {"bleu": {"beam": 1.0}, "frequencies": {"0": 0.25, "1": 0.75}}
    assert report.flatten(metrics) == {"bleu beam": 1.0, "frequencies": "0: 0.2500, 1: 0.7500"}


def test_a_report_leaves_out_what_is_not_there_and_ends_with_the_command(tmp_path):
    sections = [None, report.Section("empty"), report.Section("full", listings=[("a", "b")])]
    page = report.write_report(make_run(tmp_path), "Toy", "It learns.", sections)
    parsed = Tags(page.read_text())
    assert page.name == "report.html" and "Toy: tiny" in parsed.text and "It learns. Trained on tiny" in parsed.text
    assert "empty" not in parsed.text and parsed.text.index("full") < parsed.text.index("examples.toy train")


def test_a_time_is_given_as_people_say_it():
    times = (3.4, 59.7, 567.2, 7510.0)
    assert [report.duration(seconds) for seconds in times] == ["3 s", "1 min 0 s", "9 min 27 s", "2 h 5 min"]


def test_metrics_of_all_kinds_are_readable():
    assert report.format_value(0.12345) == "0.1235" and report.format_value(10) == "10"


def test_nested_metrics_are_listed_in_one_level():
    metrics = {"beam": {"bleu": 40.0, "long": {"bleu": 30.0}}, "perplexity": 5.0}
    assert report.flatten(metrics) == {"beam bleu": 40.0, "beam long bleu": 30.0, "perplexity": 5.0}


def test_figures_are_found_by_name_and_pattern_and_missing_ones_left_out(tmp_path):
    run = make_run(tmp_path)
    for name in ("b_2.png", "b_1.png", "a.gif"):
        (run.figures / name).touch()
    found = report.figures(run, {"missing.png": "none", "b_*.png": "several", "a.gif": "one"})
    assert [(picture.path.name, picture.alt) for picture in found] == [
        ("b_1.png", "several"), ("b_2.png", "several"), ("a.gif", "one")
    ]  # fmt: skip
