import numpy as np

from examples.nmt_attention.demonstrate.scoring import score_translations

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
