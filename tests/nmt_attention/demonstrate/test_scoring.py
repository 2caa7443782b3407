from dataclasses import replace

import numpy as np
import pytest

from examples.nmt_attention.config import PRESETS
from examples.nmt_attention.data import build_tokenizer
from examples.nmt_attention.demo import SentenceTranslator
from examples.nmt_attention.demonstrate.scoring import score_translations
from examples.nmt_attention.train import build_model

SOURCES = ["La mujer vieja pinta la casa roja.", "El gato ve la flor."]


def test_the_score_of_the_model_s_own_translation_is_that_of_the_search(translator):
    found = [best[0] for best in translator.translate(SOURCES)]
    scored = score_translations(translator, [*zip(SOURCES, (each.text for each in found), strict=True)])
    for one, best in zip(scored, found, strict=True):
        assert one.tokens == best.tokens and one.source_tokens == best.source_tokens
        np.testing.assert_allclose(one.score, best.score, atol=1e-4)
        np.testing.assert_allclose(-one.nll.mean(), one.score, atol=1e-6)
        np.testing.assert_allclose(one.attention, best.attention, atol=1e-4)


def test_a_worse_translation_has_a_lower_score_and_the_wrong_word_is_where_it_is_lost(translator):
    pairs = [(SOURCES[1], "The cat sees the flower."), (SOURCES[1], "The cat sees the house.")]
    right, wrong = score_translations(translator, pairs)
    assert right.score > wrong.score
    assert wrong.nll.argmax() == wrong.tokens.index("house")


def test_what_has_no_words_has_no_score(translator):
    assert score_translations(translator, [("", "The cat."), ("El gato.", " ")]) == [None, None]
    assert score_translations(translator, [("", "a"), (SOURCES[1], "The cat.")])[0] is None


@pytest.mark.parametrize("kind", ["characters", "subwords"])
def test_pieces_are_scored_as_the_search_scores_them(kind):
    pairs = [("el gato ve la flor", "the cat sees the flower"), ("la mujer pinta", "the woman paints")]
    tokenizers = [build_tokenizer([pair[side] for pair in pairs], kind, 1, 60) for side in (0, 1)]
    config = replace(PRESETS["tiny"], tokens=kind)
    translator = SentenceTranslator(build_model(config, *map(len, tokenizers)), *tokenizers, max_tokens=20)
    [[best], _] = translator.translate([source for source, _ in pairs])
    [scored] = score_translations(translator, [(pairs[0][0], pairs[0][1])])
    assert "".join(scored.tokens).strip("▁") == pairs[0][1].replace(" ", "▁")
    assert scored.source_tokens == best.source_tokens and len(scored.nll) == len(scored.tokens) + 1
    assert scored.attention.shape == (len(scored.tokens), len(scored.source_tokens))
