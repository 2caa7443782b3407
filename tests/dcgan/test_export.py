import subprocess
import sys

import numpy as np

from examples.dcgan.demo import ImageGenerator, draw_noise
from examples.dcgan.export import export

READER = """
import sys, numpy as np, tensorflow as tf
served = tf.saved_model.load("model").signatures["serving_default"]
np.save("images.npy", served(noise=tf.constant(np.load("noise.npy")))["images"])
"""


def test_a_process_without_this_code_makes_the_same_images(trained, tmp_path):
    generator = ImageGenerator.load(trained)
    export(generator, tmp_path / "model", "maker")
    noise = draw_noise(5, generator.model.noise_dim, seed=9)
    np.save(tmp_path / "noise.npy", noise)
    subprocess.run([sys.executable, "-c", READER], cwd=tmp_path, check=True)  # the project is not importable there
    np.testing.assert_array_equal(np.load(tmp_path / "images.npy"), generator.make(noise))
