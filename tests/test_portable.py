"""The files of `export --format`, read in a process without this code, give what the models give here."""

import json
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
import tensorflow as tf

from common.app.portable import write_portable
from common.errors import UserError
from examples.dcgan.config import PRESETS as IMAGES
from examples.dcgan.demo import ImageGenerator, sample_latents
from examples.dcgan.export import plain_network as plain_generator
from examples.dcgan.model import DCGAN
from examples.text_generation.config import PRESETS as TEXT
from examples.text_generation.demo import build_model
from examples.text_generation.export import plain_network

READER = """
import json, sys
import numpy as np
path, inputs = sys.argv[1], {name: np.array(value, kind) for name, (kind, value) in json.loads(sys.argv[2]).items()}
if path.endswith(".keras"):
    import keras
    outputs = keras.models.load_model(path, compile=False)([*inputs.values()] if len(inputs) > 1 else inputs["latents"])
    outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
elif path.endswith(".onnx"):
    import onnxruntime
    outputs = onnxruntime.InferenceSession(path).run(None, inputs)
else:
    import tensorflow as tf
    interpreter = tf.lite.Interpreter(path)
    outputs = interpreter.get_signature_runner()(**inputs)
    outputs = [outputs[name] for name in sorted(outputs)]
print(json.dumps([np.array(output).tolist() for output in outputs]))
"""
FORMATS = [
    pytest.param(form, marks=pytest.mark.skipif(form == "onnx" and not find_spec("onnxruntime"), reason="no ONNX"))
    for form in ("keras", "tflite", "onnx")
]


def read_elsewhere(path, inputs):
    """Return the outputs of a file in a process that does not find this code."""
    given = json.dumps({name: (str(value.dtype), value.tolist()) for name, value in inputs.items()})
    command = [sys.executable, "-c", READER, str(path), given]
    done = subprocess.run(command, cwd=path.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return [np.array(output) for output in json.loads(done.stdout.splitlines()[-1])]


@pytest.mark.parametrize("form", FORMATS)
def test_the_generator_is_the_same_elsewhere(form, tmp_path):
    model = DCGAN((28, 20), 1, **IMAGES["tiny"].architecture()).build_weights()
    for variable in model.ema_generator.averaged_network.variables:
        variable.assign(variable + 0.02 * tf.random.stateless_uniform(variable.shape, [1, 2]))
    latents = sample_latents(1, model.latent_dim, seed=5).numpy()
    path = write_portable(plain_generator(model, form), tmp_path / f"model.{form}", form)
    [images] = read_elsewhere(path, {"latents": latents})
    assert images.shape == (1, 28, 20, 1) and images.min() >= 0 and images.max() <= 1 and images.std() > 0.02
    expected = ImageGenerator(model).generate(tf.constant(latents)) / 255
    np.testing.assert_allclose(images, expected, atol=0.6 / 255)


@pytest.mark.parametrize(("cell", "layers"), [("gru", 1), ("lstm", 2)])
@pytest.mark.parametrize("form", FORMATS)
def test_the_network_of_text_generation_is_the_same_elsewhere(form, cell, layers, tmp_path):
    from dataclasses import replace

    model = build_model(replace(TEXT["tiny"], cell=cell, layers=layers, units=24), vocabulary_size=30)
    draw = np.random.default_rng(4)
    state = [[draw.normal(size=[1, 24]).astype("float32") for _ in layer] for layer in model.initial_state(1)]
    ids = np.array([[7]], "int32") if form != "keras" else draw.integers(0, 30, [1, 9]).astype("int32")
    logits, new_state = model(tf.constant(ids), [[*map(tf.constant, layer)] for layer in state])
    path = write_portable(plain_network(model, form), tmp_path / f"model.{form}", form)
    inputs = {"ids": ids} | {f"state_{n}": value for n, value in enumerate(sum(state, []))}
    outputs = read_elsewhere(path, inputs)
    for found, expected in zip(outputs, [logits, *sum(map(list, new_state), [])], strict=True):
        np.testing.assert_allclose(found, expected, atol=2e-5)


def test_another_file_is_not_overwritten(tmp_path):
    model = plain_generator(DCGAN((28, 28), 1, **IMAGES["tiny"].architecture()).build_weights(), "keras")
    path = write_portable(model, tmp_path / "model.keras", "keras")
    assert [*tmp_path.iterdir()] == [path]
    with pytest.raises(UserError, match="there already; name another file with --out, or add --overwrite"):
        write_portable(model, path, "keras")
    write_portable(model, path, "keras", overwrite=True)


def test_a_name_without_the_ending_is_refused(tmp_path):
    with pytest.raises(UserError, match="a keras file must end in .keras"):
        write_portable(None, tmp_path / "model", "keras")


def test_a_missing_package_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr("common.app.portable.find_spec", lambda name: None)
    with pytest.raises(UserError, match="--format onnx: tf2onnx is not installed; pip install tf2onnx"):
        write_portable(None, tmp_path / "model.onnx", "onnx")
