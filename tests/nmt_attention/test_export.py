import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from common.data.text_files import normalise
from examples.nmt_attention.export import _clean, _tokenise, export
from examples.nmt_attention.preprocess.tokenizer import clean, tokenise
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


def test_it_answers_the_rest_form_of_tensorflow_serving(translator, tmp_path):
    model = export(translator, tmp_path / "model", "maker")
    answered = predict(model, {"sentences": SENTENCES[:2]})
    assert answered["translations"] == [best[0].text for best in translator.translate(SENTENCES[:2])]
    assert answered.keys() == {"translations", "attention", "tokens", "source_tokens"}
