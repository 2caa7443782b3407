import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from common.app.saved_model import SymbolTable
from common.data.text_files import normalise
from common.data.vocabulary import Vocabulary
from common.nn.beam_search import Hypotheses
from examples.nmt_attention import demo
from examples.nmt_attention import export as exporting
from examples.nmt_attention.config import PRESETS
from examples.nmt_attention.data import build_tokenizer
from examples.nmt_attention.demo import SentenceTranslator
from examples.nmt_attention.export import (
    _capitalise_like,
    _clean,
    _cut_into_pieces,
    _tokenise,
    _truecase,
    export,
)
from examples.nmt_attention.preprocess.piece_tokenizer import PieceTokenizer
from examples.nmt_attention.preprocess.tokenizer import (
    END,
    PAD,
    SPECIAL_TOKENS,
    UNKNOWN,
    WordTokenizer,
    clean,
    tokenise,
)
from examples.nmt_attention.train import build_model
from tests.nmt_attention.preprocess.test_tokenizer import SENTENCES as ODD
from tests.tensorflow_serving import predict

SENTENCES = ["¿Dónde están las niñas?", "el gato viejo no  ve la casa.", "", "Zyx 🙂?", " \t", "¡La flor!"]
READER = """
import json, sys, tensorflow as tf
served = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
out = served(sentences=tf.constant(json.loads(sys.argv[2])))
text = {name: [s.decode() for s in out[name].numpy().ravel()] for name in ("translations", "source_tokens")}
print(json.dumps(text | {"attention": out["attention"].numpy().tolist()}))
empty = served(sentences=tf.constant([""]))
assert empty["translations"].numpy().tolist() == [b""] and not empty["attention"].numpy().any()
"""


@pytest.fixture(scope="module")
def served(translator, tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    export(translator, folder / "model", "maker")
    done = subprocess.run(
        [sys.executable, "-c", READER, str(folder / "model"), json.dumps(SENTENCES)],
        cwd=folder, capture_output=True, check=True,
    )  # another folder: the project is not importable there  # fmt: skip
    return json.loads(done.stdout)


def test_a_process_without_this_code_translates_the_same(translator, served):
    expected = [best[0].text if best else "" for best in translator.translate(SENTENCES)]
    assert served["translations"] == expected


def test_the_attention_is_the_same_and_zero_where_there_is_nothing(translator, served):
    attention = np.array(served["attention"])
    for row, best in zip(attention, translator.translate(SENTENCES), strict=True):
        expected = best[0].attention if best else np.zeros((0, 0))
        rows, columns = expected.shape
        np.testing.assert_allclose(row[:rows, :columns], expected, atol=1e-5)
        assert not row[rows:].any() and not row[:, columns:].any()


@pytest.mark.parametrize("sentence", ODD)
def test_the_graph_cuts_as_the_code_does(sentence):
    [row] = _tokenise(_clean(tf.constant([normalise(sentence)]))).numpy()
    assert [token.decode() for token in row if token] == tokenise(clean(sentence))


@pytest.mark.parametrize("sentence", ["a <pad> b", "<end>", "<unk>"])
def test_the_graph_knows_no_special_tokens_in_a_sentence(sentence):
    tokenizer = PieceTokenizer(Vocabulary([*SPECIAL_TOKENS, "▁", *"<abdekn>", "a word"]), "characters")
    [row] = _cut_into_pieces(
        tokenizer, SymbolTable(tokenizer.vocabulary.symbols), _clean(tf.constant([sentence]))
    ).numpy()
    assert [token.decode() for token in row if token] == tokenizer.tokenise(sentence)


FIRST_WORDS = ["hello", "Hello", "42", "...", "İyi", "ısı", "ßa", "ﬁn", "éa", "Ёлка", "გამარჯობა", "ªa"]


@pytest.mark.parametrize("source", [*FIRST_WORDS, "▁hello", "▁Hello", "▁"])
def test_the_graph_changes_the_case_as_the_code_does(source):
    tokenizer = WordTokenizer.build([f"{word} {word} {word.lower()} {word.lower()}" for word in FIRST_WORDS], 1)
    targets = tf.constant([[word, "end"] for word in FIRST_WORDS])
    sources = tf.constant([[source, "b"]] * len(FIRST_WORDS))
    for row, word in zip(_capitalise_like(targets, sources).numpy(), FIRST_WORDS, strict=True):
        assert [token.decode() for token in row] == tokenizer.restore_case([word, "end"], [source, "b"])
    [row] = _truecase(tf.constant([[source, "b"]]), SymbolTable(tokenizer.vocabulary.symbols)).numpy()
    assert [token.decode() for token in row] == tokenizer.truecase([source, "b"])


def copy_all(model, source, beam=1, length_penalty=1.0, length_ratio=1):
    """Find <unk> for each source token, as `translate_ids` returns it."""
    is_token = source[:, None] != PAD  # B 1 S
    lengths = tf.reduce_sum(tf.cast(is_token, tf.int32), axis=-1)  # B 1
    weights = tf.eye(tf.shape(source)[1], batch_shape=[tf.shape(source)[0], 1])  # B 1 S S
    return Hypotheses(tf.where(is_token, UNKNOWN, END), lengths, tf.cast(lengths, tf.float32), weights)


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        (("subwords", "words"), "El gato x y"),
        (("characters", "words"), "E l g a t o x y"),
        (("words", "words"), "El gato xy"),
    ],
)
def test_copied_tokens_have_no_marks_of_the_source(kinds, expected, tmp_path, monkeypatch):
    for module in (demo, exporting):
        monkeypatch.setattr(module, "translate_ids", copy_all)
    tokenizers = [build_tokenizer(["el gato", "El gato"] * 40, kind, 1, 60) for kind in kinds]
    translator = SentenceTranslator(build_model(PRESETS["tiny"], *map(len, tokenizers)), *tokenizers, max_tokens=9)
    model = tf.saved_model.load(export(translator, tmp_path / "model", "maker")).signatures["serving_default"]
    for sentence, text in (("el gato xy", expected[0].lower() + expected[1:]), ("El gato xy", expected)):
        [[best]] = translator.translate([sentence])
        assert best.text == text == model(sentences=tf.constant([sentence]))["translations"].numpy()[0].decode()


def test_it_answers_the_rest_form_of_tensorflow_serving(translator, tmp_path):
    model = export(translator, tmp_path / "model", "maker")
    answered = predict(model, {"sentences": SENTENCES[:2]})
    assert answered["translations"] == [best[0].text for best in translator.translate(SENTENCES[:2])]
    assert answered.keys() == {"translations", "attention", "tokens", "source_tokens"}


def test_a_long_sentence_is_cut_and_its_translation_may_be_as_long_as_in_python(tmp_path, monkeypatch):
    ratios = []

    def find(*arguments, length_ratio, **options):
        ratios.append(length_ratio)
        return copy_all(*arguments, **options)

    monkeypatch.setattr(exporting, "translate_ids", find)
    tokenizers = [build_tokenizer(["el gato", "El gato"] * 40, kind, 1, 60) for kind in ("words", "characters")]
    translator = SentenceTranslator(build_model(PRESETS["tiny"], *map(len, tokenizers)), *tokenizers, max_tokens=3)
    model = tf.saved_model.load(export(translator, tmp_path / "model", "maker")).signatures["serving_default"]
    found = model(sentences=tf.constant(["el gato el gato el"]))
    assert found["source_tokens"].numpy().tolist() == [[b"el", b"gato", b"el"]]
    assert {*ratios} == {translator.length_ratio} and translator.length_ratio > 1


def copy_last(*arguments, **options):
    """Find <unk> for each source token, with all attention on the last one."""
    found = copy_all(*arguments, **options)
    last = tf.one_hot(found.lengths - 1, tf.shape(found.attention)[-1])  # B 1 S
    return found._replace(attention=tf.ones_like(found.attention) * last[:, :, None])


@pytest.mark.parametrize(("training", "expected"), [("el gato", "el el"), ("El gato", "El el")])
def test_where_sentences_begin_in_lower_case_so_does_the_graph(training, expected, tmp_path, monkeypatch):
    for module in (demo, exporting):
        monkeypatch.setattr(module, "translate_ids", copy_last)
    tokenizers = [build_tokenizer([training] * 40, "words", 1, 60)] * 2
    translator = SentenceTranslator(build_model(PRESETS["tiny"], *map(len, tokenizers)), *tokenizers, max_tokens=9)
    model = tf.saved_model.load(export(translator, tmp_path / "model", "maker")).signatures["serving_default"]
    sentence = "القطة el"  # its first letter has no case
    assert translator.translate([sentence])[0][0].text == expected
    assert model(sentences=tf.constant([sentence]))["translations"].numpy()[0].decode() == expected
