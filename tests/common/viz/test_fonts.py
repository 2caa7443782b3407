from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import Image, ImageDraw, features

from common.viz import figures, fonts

STIX = str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "STIXGeneral.ttf")
ONLY_IN_STIX = next(
    letter
    for letter in map(chr, range(0x2100, 0x2FFF))
    if [fonts.has_glyph(path, letter) for path in (STIX, fonts.SANS, fonts.MONOSPACE)] == [True, False, False]
)
NOWHERE = "\U000e0fff"  # a code point that no font has: it is drawn as the box of missing glyphs
SCRIPTS = {
    "Chinese": "我喜欢猫",
    "Japanese": "私は猫が",
    "Korean": "고양이를",
    "Arabic": "القطة",
    "Hindi": "बिल्ली",
    "Thai": "ฉันรักแมว",
    "emoji": "😀☃",
}


@pytest.fixture(autouse=True)
def nothing_reported():
    fonts._reported.clear()


def drawn(text, letters=None):
    image = Image.new("L", (300, 40), "white")
    fonts.Typesetter(letters or text, 20).draw(ImageDraw.Draw(image), (10, 5), text, "black")
    return np.asarray(image)


def system_has(text):
    return len(fonts.fonts_for(text, fonts.MONOSPACE)) and all(
        any(fonts.has_glyph(path, letter) for path in fonts.fonts_for(text, fonts.MONOSPACE)) for letter in text
    )


@pytest.mark.parametrize("script", SCRIPTS)
def test_letters_of_every_script_are_drawn_and_no_boxes(script, capsys):
    text = SCRIPTS[script]
    if not system_has(text):
        pytest.skip(f"no font on this machine has {script}: install fonts-noto-cjk and fonts-noto-core")
    for letter in text:
        assert (drawn(letter) != drawn(NOWHERE)).any() and drawn(letter).min() < 100
    assert len({drawn(letter).tobytes() for letter in text}) > 1


def test_a_letter_that_dejavu_lacks_comes_from_a_font_of_the_system(monkeypatch, capsys):
    monkeypatch.setattr(fonts, "_system_fonts", lambda: [fonts.SANS, STIX])
    assert fonts.fonts_for(f"a{ONLY_IN_STIX} b") == [fonts.SANS, STIX] and fonts.fonts_for("abc é") == [fonts.SANS]
    assert (drawn(ONLY_IN_STIX) != drawn(NOWHERE, "a")).any()
    assert fonts.families_for(ONLY_IN_STIX) == ["DejaVu Sans", "STIXGeneral"]
    assert capsys.readouterr().err == ""


def test_a_font_is_added_to_those_of_matplotlib_once():
    fonts.families_for("a")
    count = len(fonts.font_manager.fontManager.ttflist)
    fonts.families_for("a")
    assert len(fonts.font_manager.fontManager.ttflist) == count


@pytest.mark.parametrize(
    ("text", "package"),
    [("猫", "fonts-noto-cjk"), ("한국", "fonts-noto-cjk"), ("फ", "fonts-noto-core"), ("🦩", "fonts-symbola")],
)
def test_where_no_font_has_a_letter_one_line_says_once_what_to_install(monkeypatch, capsys, text, package):
    monkeypatch.setattr(fonts, "_system_fonts", list)
    for _ in range(2):
        assert fonts.fonts_for(text) == [fonts.SANS]
    [note] = capsys.readouterr().err.splitlines()
    assert f"install {package}" in note and text[0] in note


def test_blanks_and_format_characters_need_no_font(monkeypatch, capsys):
    monkeypatch.setattr(fonts, "_system_fonts", list)
    assert fonts.fonts_for("a\u200d\u200c\u3000\n\ufe0f") == [fonts.SANS] and capsys.readouterr().err == ""


def test_a_line_has_the_same_length_however_it_is_anchored():
    setter = fonts.Typesetter("abc", 20)
    assert setter.length("abc") == pytest.approx(3 * setter.length("a"))
    for anchor, x in (("la", 10), ("ma", 10 + setter.length("abc") / 2), ("ra", 10 + setter.length("abc"))):
        image = Image.new("L", (300, 40), "white")
        setter.draw(ImageDraw.Draw(image), (x, 5), "abc", "black", anchor)
        assert np.abs(np.nonzero(np.asarray(image).min(axis=0) < 128)[0][0] - 11) <= 1


@pytest.mark.parametrize(
    ("text", "expected"), [("abc", False), ("القطة abc", True), ("the cat القط", False), ("שלום", True), ("", False)]
)
def test_the_direction_is_that_of_most_letters(text, expected):
    assert fonts.is_right_to_left(text) == expected


@pytest.mark.skipif(not features.check("raqm"), reason="Pillow without libraqm")
@pytest.mark.parametrize(("text", "end"), [("abcde שלום.", -1), ("שלום abc.", 0)])
def test_a_point_stands_at_the_end_of_the_line(text, end):
    image = Image.new("L", (300, 40), "white")
    fonts.Typesetter(text, 20).draw(ImageDraw.Draw(image), (5, 5), text, "black")
    ink = np.asarray(image) < 128
    column = np.nonzero(ink.any(axis=0))[0][end]
    assert np.nonzero(ink[:, column])[0].min() >= np.nonzero(ink)[0].max() - 4  # on the baseline only, unlike a letter


def test_columns_of_arabic_are_drawn_from_right_to_left():
    weights = np.array([[1.0, 0.0, 0.0]])
    arabic, latin = (
        np.asarray(figures.attention_map(weights, ["x"], columns))
        for columns in (["القط", "يرى", "."], ["a", "b", "."])
    )

    def dark_column(picture):
        orange = (picture[..., 0].astype(int) - picture[..., 2]) > 100
        return np.nonzero(orange)[1].mean() / picture.shape[1]

    assert dark_column(latin) < 0.5 < dark_column(arabic)


def test_the_legend_of_learning_curves_has_fonts_for_the_names_of_runs(monkeypatch):
    legends = []

    def render(figure):
        legends.append(figure.axes[0].get_legend())
        return (1, 1), bytes(4)

    monkeypatch.setattr(figures, "_render", render)
    monkeypatch.setattr(fonts, "_system_fonts", lambda: [STIX])
    figures.compare_curves({ONLY_IN_STIX: [(1.0, 2.0)]}, "nats")
    assert legends[0].get_texts()[0].get_fontfamily() == ["DejaVu Sans", "STIXGeneral"]
