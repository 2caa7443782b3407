from html.parser import HTMLParser

from PIL import Image

from common import report
from common.run import Run


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
    run = Run.start(tmp_path / "run", "toy", settings, {"sha256": "ab"}, tmp_path)
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


def test_data_is_never_markup(tmp_path):
    nasty = "<script>alert(1)</script>"
    section = report.Section(nasty, nasty, [(nasty, nasty)], listings=[(nasty, nasty)], links=[(nasty, "a.html")])
    page = report.write_page(tmp_path / "r.html", nasty, nasty, [section]).read_text()
    parsed = Tags(page)
    assert not any(tag == "script" for tag, _ in parsed.tags)
    assert parsed.text.count(nasty) == 10


def test_the_command_trains_the_same_run_again(tmp_path):
    command = report.command_of(make_run(tmp_path).read_config())
    assert command == "python -m examples.toy train --preset tiny --data tiny --prompt 'it'\"'\"'s'"


def test_what_was_measured_comes_with_its_rule(tmp_path):
    run = make_run(tmp_path)
    assert report.section_on_evaluation(run) is None
    run.write_evaluation("test", "mean of all", 1.0, {"loss": 1.23456})
    section = report.section_on_evaluation(run)
    assert "mean of all" in section.text and section.table == [("loss", "1.2346")]
    assert dict(report.section_on_run(run).table)["trained"] == "1 epochs, 5 steps, 2 s"


def test_metrics_of_all_kinds_are_readable():
    assert report.readable(0.12345) == "0.1235" and report.readable(10) == "10"


def test_nested_metrics_are_listed_in_one_level():
    metrics = {"beam": {"bleu": 40.0, "long": {"bleu": 30.0}}, "perplexity": 5.0}
    assert report.flat(metrics) == {"beam bleu": 40.0, "beam long bleu": 30.0, "perplexity": 5.0}
