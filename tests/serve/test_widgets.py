import numpy as np
import pytest
from PIL import Image

from examples.serve import widgets
from examples.serve.embeddings import Embeddings
from examples.serve.schemas import CaptionOut, TextLosses, TranslationOut

SCRIPT = "<script>alert(1)</script>"


def translation(word):
    return TranslationOut(text=word, score=-1, tokens=[word], source_tokens=[word, "b"], attention=[[0.75, 0.01]])


@pytest.mark.parametrize(
    "html",
    [
        widgets.message(SCRIPT),
        widgets.text(SCRIPT, SCRIPT),
        widgets.losses(TextLosses(text=SCRIPT[:1], nll_bits=[1], predictions=[[SCRIPT]], mean_bits=1), SCRIPT),
        widgets.table([[SCRIPT]], [SCRIPT], SCRIPT),
        widgets.picture(Image.new("L", (2, 2)), SCRIPT, SCRIPT),
        widgets.translation([translation(SCRIPT)]),
        widgets.embeddings_map(Embeddings([SCRIPT, "b"], np.eye(2)), []),
    ],
    ids=["message", "text", "losses", "table", "picture", "translation", "map"],  # their HTML has random names
)
def test_whatever_a_user_writes_appears_as_text(html):
    assert "<script" not in html and "&lt;script&gt;" in html


def test_a_caption_is_escaped_and_has_a_lit_photo_for_each_word():
    found = [CaptionOut(text=SCRIPT, score=-1, words=[SCRIPT, "b"], attention=[[[1.0]], [[1.0]]])]
    html = widgets.caption(Image.new("RGB", (8, 4)), found)
    assert "<script" not in html and html.count("data:image/jpeg") == 3


def test_the_overlays_of_a_narrow_photo_are_small():
    found = [CaptionOut(text="a", score=-1, words=["a"], attention=[[[1.0]]])]
    html = widgets.caption(Image.new("RGB", (1, 3_000)), found)
    assert len(html) < 20_000


def test_the_text_before_the_first_loss_is_shown_without_shade():
    html = widgets.losses(TextLosses(text=" b", nll_bits=[1, 2], predictions=[[], []], mean_bits=1.5), "The b")
    assert "<pre>The<span" in html


def test_pointing_at_a_word_lights_its_source_words_in_proportion():
    html = widgets.translation([translation("a")])
    assert ":has(.t0:is(:hover, :focus)) .s0 { background: rgba(251, 146, 60, 0.75); }" in html
    assert ".s1 {" not in html  # too little weight


def test_the_map_has_the_word_that_was_asked_for_and_its_neighbours():
    symbols = [f"word{number}" for number in range(400)]
    html = widgets.embeddings_map(Embeddings(symbols, np.eye(400)), ["word350", "word399"])
    assert html.count("<text") == 302 and html.count('class="near"') == 2


def test_an_error_is_read_out_by_screen_readers():
    assert 'role="alert"' in widgets.message("no", is_error=True)
    assert 'role="status"' in widgets.message("yes")


def test_words_run_in_the_direction_of_their_script():
    found = TranslationOut(text="א", score=-1, tokens=["א", "ב"], source_tokens=["a"], attention=[[1], [1]])
    html = widgets.translation([found])
    assert html.count('<p class="words" dir="auto">') == 2 and '<td dir="auto">א</td>' in html


def test_blank_symbols_are_seen():
    assert [*map(widgets.visible, "\n \ta")] == ["↵", "␣", "→", "a"]
