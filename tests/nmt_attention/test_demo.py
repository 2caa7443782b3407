from dataclasses import replace

import numpy as np
import pytest

from examples.nmt_attention.config import PRESETS
from examples.nmt_attention.data import build_tokenizer, load_corpus
from examples.nmt_attention.demo import SentenceTranslator
from examples.nmt_attention.preprocess.tokenizer import SPECIAL_TOKENS, strip_joiners, tokenise
from examples.nmt_attention.train import build_model

SENTENCES = ["¿Dónde están las niñas?", "el gato viejo no ve la casa.", "Ve.", "La mujer quiere las manzanas rojas."]


def test_it_translates_what_it_never_saw(translator):
    corpus = load_corpus("tiny", held_out=0.1)
    sources, references = zip(*corpus.test, strict=True)
    found = [best[0].text for best in translator.translate(sources)]
    assert np.mean([mine == theirs for mine, theirs in zip(found, references, strict=True)]) > 0.95


def test_a_sentence_gets_in_a_batch_what_it_gets_alone(translator):
    for beam in (1, 5):
        together = translator.translate(SENTENCES, beam)
        for sentence, translations in zip(SENTENCES, together, strict=True):
            [alone] = translator.translate([sentence], beam)
            assert [each.text for each in alone] == [each.text for each in translations]
            assert [each.score for each in alone] == pytest.approx([each.score for each in translations], abs=1e-4)


def test_batches_do_not_change_the_order_of_the_sentences(translator):
    assert [t[0].text for t in translator.translate(SENTENCES, batch_size=2)] == [
        t[0].text for t in translator.translate(SENTENCES)
    ]


def test_beams_are_ranked_and_never_below_greedy(translator):
    for greedy, beam in zip(translator.translate(SENTENCES), translator.translate(SENTENCES, beam=5), strict=True):
        assert len(beam) == 5 and beam[0].score >= greedy[0].score - 1e-5
        assert [each.score for each in beam] == sorted((each.score for each in beam), reverse=True)


def test_the_score_is_divided_by_the_length_to_the_penalty(translator):
    plain, divided = (translator.translate(SENTENCES, length_penalty=penalty) for penalty in (0.0, 0.5))
    for [one], [other] in zip(plain, divided, strict=True):
        assert one.score == pytest.approx(other.score * (len(other.tokens) + 1) ** 0.5, rel=1e-4)


def test_every_token_has_its_row_and_every_source_token_its_column(translator):
    [[translation]] = translator.translate(["  ¿Dónde está\u00a0el árbol rojo?"])
    assert translation.source_tokens == ["¿", "Dónde", "está", "el", "árbol", "rojo", "?"]
    assert translation.attention.shape == (len(translation.tokens), 7)
    assert translation.attention.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert translation.tokens == [*map(strip_joiners, tokenise(translation.text))]


def test_an_unknown_word_is_carried_over_from_where_the_model_looked(translator, monkeypatch):
    [[plain]] = translator.translate(["El gato ve la flor."])
    symbols = translator.target_tokenizer.vocabulary.symbols
    flower, unknown = symbols.index("flower"), SPECIAL_TOKENS.index("<unk>")
    table = translator.model.decoder.embedding.embeddings
    before = table.numpy()
    swapped = before.copy()
    swapped[[flower, unknown]] = swapped[[unknown, flower]]  # now <unk> is said where flower was
    table.assign(swapped)
    [[carried]] = translator.translate(["El gato ve la Flórx."])
    [[copied]] = translator.translate(["El gato ve la flor."])
    table.assign(before)
    assert copied.text == plain.text.replace("flower", "flor")
    assert "<unk>" not in carried.text


def test_the_case_of_the_first_letter_follows_the_source(translator):
    [[upper], [lower]] = translator.translate(["El gato ve la flor.", "el gato ve la flor."])
    assert upper.text == "The cat sees the flower." and lower.text == "the cat sees the flower."


def test_nothing_stays_nothing_and_nothing_makes_it_crash(translator, capsys):
    odd = ["", "  ", "🙂🙂🙂", "?" * 300, "日本語", "x" * 100_000, "\x1b[31m", "a " * 300]
    found = translator.translate(odd, beam=2)
    assert found[0] == found[1] == [] and all(len(each) == 2 for each in found[2:])
    assert "cut after 60 of 300 tokens" in capsys.readouterr().err


SOURCES = ["La mujer vieja pinta la casa roja.", "El gato ve la flor."]


def test_the_score_of_the_model_s_own_translation_is_that_of_the_search(translator):
    found = [best[0] for best in translator.translate(SOURCES)]
    scored = translator.score([*zip(SOURCES, (each.text for each in found), strict=True)])
    for one, best in zip(scored, found, strict=True):
        assert one.tokens == best.tokens and one.source_tokens == best.source_tokens
        np.testing.assert_allclose(one.score, best.score, atol=1e-4)
        np.testing.assert_allclose(-one.nll.mean(), one.score, atol=1e-6)
        np.testing.assert_allclose(one.attention, best.attention, atol=1e-4)


def test_a_sentence_in_capitals_is_scored_as_it_is_translated(translator):
    capitals = SOURCES[1].upper()
    [[best, *_]] = translator.translate([capitals])
    [scored] = translator.score([(capitals, best.text)])
    assert scored.source_tokens == best.source_tokens != capitals.split()
    np.testing.assert_allclose(scored.score, best.score, atol=1e-4)


def test_the_score_of_a_given_translation_has_the_length_penalty_of_the_search(translator):
    [[best, *_]] = translator.translate(SOURCES[1:2], beam=2, length_penalty=0.0)
    [scored] = translator.score([(SOURCES[1], best.text)], length_penalty=0.0)
    np.testing.assert_allclose([scored.score, -scored.nll.sum()], best.score, atol=1e-4)


def test_a_worse_translation_has_a_lower_score_and_the_wrong_word_is_where_it_is_lost(translator):
    pairs = [(SOURCES[1], "The cat sees the flower."), (SOURCES[1], "The cat sees the house.")]
    right, wrong = translator.score(pairs)
    assert right.score > wrong.score
    assert wrong.nll.argmax() == wrong.tokens.index("house")


def test_what_has_no_words_has_no_score(translator):
    assert translator.score([("", "The cat."), ("El gato.", " ")]) == [None, None]
    assert translator.score([("", "a"), (SOURCES[1], "The cat.")])[0] is None


def test_both_sides_are_cut_after_as_many_words(capsys):
    pair = "el gato ve la flor", "the cat sees the flower"
    tokenizers = build_tokenizer(pair[:1], "words", 1, 60), build_tokenizer(pair[1:], "characters", 1, 60)
    model = build_model(PRESETS["tiny"], *map(len, tokenizers))
    [scored] = SentenceTranslator(model, *tokenizers, max_tokens=3).score([pair])
    assert scored.attention.shape == (len(scored.tokens), len(scored.source_tokens)) == (15, 3)
    assert scored.text == "the cat sees th"  # what was scored
    notes = capsys.readouterr().err.splitlines()
    assert notes == [
        f"note: cut after {n} of {text}..." for n, text in ((3, f"5 tokens: {pair[0]}"), (15, f"23 tokens: {pair[1]}"))
    ]


def test_words_too_long_to_be_read_are_cut_with_a_note(translator, capsys):
    [scored] = translator.score([("El gato.", f"cat {'x' * 5000}")])
    assert scored.text == f"cat {'x' * len(scored.tokens[1])}" and len(scored.text) < 5000
    assert "note: cut after 2 of 2 or more tokens: cat x" in capsys.readouterr().err
    translator.translate([f"gato {'x' * 5000}", "gato"])
    assert capsys.readouterr().err == f"note: cut after 2 of 2 or more tokens: gato {'x' * 35}...\n"


@pytest.mark.parametrize("kind", ["characters", "subwords"])
def test_pieces_are_scored_as_the_search_scores_them(kind):
    pairs = [("el gato ve la flor", "the cat sees the flower"), ("la mujer pinta", "the woman paints")]
    tokenizers = [build_tokenizer([pair[side] for pair in pairs], kind, 1, 60) for side in (0, 1)]
    config = replace(PRESETS["tiny"], tokens=kind)
    translator = SentenceTranslator(build_model(config, *map(len, tokenizers)), *tokenizers, max_tokens=20)
    [[best], _] = translator.translate([source for source, _ in pairs])
    [scored] = translator.score([(pairs[0][0], pairs[0][1])])
    assert "".join(scored.tokens).strip("▁") == pairs[0][1].replace(" ", "▁")
    assert scored.source_tokens == best.source_tokens and len(scored.nll) == len(scored.tokens) + 1
    assert scored.attention.shape == (len(scored.tokens), len(scored.source_tokens))
