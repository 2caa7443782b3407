"""A SavedModel behind the REST form of TensorFlow Serving, in a process without this code.

https://www.tensorflow.org/tfx/serving/api_rest: the columnar form, {"inputs": {NAME: VALUE}} to {"outputs": ...}; bytes
stand as {"b64": ...}; a single output stands without its name.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

_SERVER = """
import base64, json, sys
import tensorflow as tf

def decoded(value):
    if isinstance(value, dict):
        return base64.b64decode(value["b64"])
    return [decoded(each) for each in value] if isinstance(value, list) else value

def encoded(value):
    return [encoded(each) for each in value] if isinstance(value, list) else (
        value.decode() if isinstance(value, bytes) else value)

served = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
specs = served.structured_input_signature[1]
inputs = json.loads(sys.stdin.read())["inputs"]
assert inputs.keys() == specs.keys(), specs
found = served(**{name: tf.constant(decoded(value), specs[name].dtype) for name, value in inputs.items()})
arrays = {name: tensor.numpy() for name, tensor in found.items()}
outputs = {name: encoded(x if isinstance(x, bytes) else x.tolist()) for name, x in arrays.items()}
print(json.dumps({"outputs": outputs if len(outputs) > 1 else next(iter(outputs.values()))}))
"""


def predict(model: Path, inputs: dict[str, Any]) -> Any:
    """Return the outputs of a SavedModel for a request with these inputs."""
    done = subprocess.run(
        [sys.executable, "-c", _SERVER, str(model)], input=json.dumps({"inputs": inputs}), cwd=model.parent,
        capture_output=True, check=True, text=True,
    )  # another folder: the project is not importable there  # fmt: skip
    return json.loads(done.stdout)["outputs"]
