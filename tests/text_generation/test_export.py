import subprocess
import sys

import pytest

from examples.text_generation.demo import Sampling, TextGenerator
from examples.text_generation.export import export
from tests.tensorflow_serving import predict

READER = """
import sys, tensorflow as tf
served = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]

def serve(prompt):
    numbers = {"length": 80, "top_k": 5, "seed": 7}
    shares = {"temperature": tf.constant(0.9), "top_p": tf.constant(0.95)}
    return served(prompt=tf.constant(prompt), **{k: tf.constant(v) for k, v in numbers.items()}, **shares)["text"]

sys.stdout.buffer.write(serve("MIRA:").numpy())
for bad in ("", "caf\\u00e9"):
    try:
        serve(bad)
    except tf.errors.InvalidArgumentError as error:
        print("refused:", str(error).splitlines()[0:9], file=sys.stderr)
"""


@pytest.fixture(scope="module")
def reader(trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    export(TextGenerator.load(trained), folder / "model", "maker")
    return subprocess.run(
        [sys.executable, "-c", READER, str(folder / "model")], cwd=folder, capture_output=True, check=True
    )  # another folder: the project is not importable there


def test_a_process_without_this_code_writes_the_same_text(trained, reader):
    sampling = Sampling(temperature=0.9, top_k=5, top_p=0.95, seed=7)
    [expected] = TextGenerator.load(trained).generate("MIRA:", 80, sampling)
    assert reader.stdout.decode() == "MIRA:" + expected


def test_it_refuses_what_it_cannot_read(reader):
    refused = [line for line in reader.stderr.decode().splitlines() if line.startswith("refused:")]
    assert len(refused) == 2 and "empty" in refused[0] and "not in the vocabulary" in refused[1]


def test_it_answers_the_rest_form_of_tensorflow_serving(trained, tmp_path):
    generator = TextGenerator.load(trained)
    model = export(generator, tmp_path / "model", "maker")
    inputs = {"prompt": "MIRA:", "length": 40, "temperature": 0.9, "top_k": 5, "top_p": 0.95, "seed": 7}
    [expected] = generator.generate("MIRA:", 40, Sampling(temperature=0.9, top_k=5, top_p=0.95, seed=7))
    assert predict(model, inputs) == "MIRA:" + expected
