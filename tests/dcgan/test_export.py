import subprocess
import sys

import numpy as np

from examples.dcgan.demo import ImageGenerator, sample_latents
from examples.dcgan.export import export
from tests.tensorflow_serving import predict

READER = """
import sys, numpy as np, tensorflow as tf
served = tf.saved_model.load("model").signatures["serving_default"]
np.save("images.npy", served(latents=tf.constant(np.load("latents.npy")))["images"])
"""


def test_a_process_without_this_code_generates_the_same_images(trained, tmp_path):
    generator = ImageGenerator.load(trained)
    export(generator, tmp_path / "model", "maker")
    latents = sample_latents(5, generator.model.latent_dim, seed=9)
    np.save(tmp_path / "latents.npy", latents)
    subprocess.run([sys.executable, "-c", READER], cwd=tmp_path, check=True)  # the project is not importable there
    np.testing.assert_array_equal(np.load(tmp_path / "images.npy"), generator.generate(latents))


def test_it_answers_the_rest_form_of_tensorflow_serving(trained, tmp_path):
    generator = ImageGenerator.load(trained)
    model = export(generator, tmp_path / "model", "maker")
    latents = sample_latents(2, generator.model.latent_dim, seed=9).numpy()
    np.testing.assert_array_equal(predict(model, {"latents": latents.tolist()}), generator.generate(latents))
