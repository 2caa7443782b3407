import keras
import numpy as np
import pytest

from examples.image_captioning.preprocess.fuse_batch_norm import fuse_batch_norm

rng = np.random.default_rng(0)


def network_of(*layers):
    picture = x = keras.Input([6, 6, 3])
    for layer in layers:
        x = layer(x)
    network = keras.Model(picture, [x, keras.layers.ReLU()(x)])
    for weight in network.weights:
        weight.assign(rng.uniform(0.5, 1.5, weight.shape))  # as if trained: a variance is positive
    return network


def norms(network):
    return [layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]


@pytest.mark.parametrize("norm", [{}, {"scale": False}, {"center": False, "epsilon": 0.5}])
@pytest.mark.parametrize(
    "convolution",
    [
        keras.layers.Conv2D(5, 3, use_bias=False),
        keras.layers.Conv2D(5, 3, strides=2, padding="same"),
        keras.layers.DepthwiseConv2D(3, use_bias=False),
        keras.layers.DepthwiseConv2D(3),
    ],
)
def test_a_convolution_does_the_work_of_the_norm_behind_it(convolution, norm):
    convolution = type(convolution).from_config(convolution.get_config())
    network = network_of(convolution, keras.layers.BatchNormalization(**norm), keras.layers.Conv2D(2, 1))
    folded = fuse_batch_norm(network)
    assert norms(network) and not norms(folded)
    pictures = rng.normal(size=(2, 6, 6, 3)).astype("float32")
    for ours, theirs in zip(folded(pictures), network(pictures, training=False), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-4)


def test_a_norm_behind_something_else_stays():
    network = network_of(
        keras.layers.Conv2D(4, 1, use_bias=False), keras.layers.ReLU(), keras.layers.BatchNormalization()
    )
    folded = fuse_batch_norm(network)
    assert len(norms(folded)) == 1
    pictures = rng.normal(size=(2, 6, 6, 3)).astype("float32")
    np.testing.assert_allclose(folded(pictures)[0], network(pictures, training=False)[0], rtol=1e-5, atol=1e-5)
