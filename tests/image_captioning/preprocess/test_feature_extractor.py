import urllib.request
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from common.errors import UserError
from examples.image_captioning.preprocess.feature_extractor import NETWORKS, load_extractor


@pytest.fixture(scope="module")
def extractor(tmp_path_factory):
    """An extractor of random weights (He et al. 2015) whose features are not nearly 0, as those of Keras' would be."""
    draw = np.random.default_rng(1)
    base = load_extractor("mobilenet_v2", "random").base
    for weight in base.weights:
        if weight.name == "kernel":
            inputs = np.prod(weight.shape[:2]) * (weight.shape[2] if weight.shape[3] > 1 else 1)
            weight.assign(draw.normal(0, np.sqrt(2 / inputs), weight.shape))
    path = tmp_path_factory.mktemp("encoder") / "random.weights.h5"
    base.save_weights(path)
    return load_extractor("mobilenet_v2", str(path))


def test_what_is_kept_is_the_middle_layer_and_the_last_one_end_to_end(extractor):
    pixels = np.random.default_rng(1).integers(255, size=(2, 224, 224, 3), dtype=np.uint8)
    kept = extractor(tf.constant(pixels)).numpy()
    assert extractor.grids == ((196, 576), (49, 1280)) and kept.dtype == np.float16
    assert extractor.shape == (196 * 576 + 49 * 1280,) == kept.shape[1:] and f"-{kept.shape[1]}-" in extractor.key
    outputs = [extractor.base.get_layer(name).output for name in (NETWORKS["mobilenet_v2"].middle_layer, "out_relu")]
    middle, last = keras.Model(extractor.base.input, outputs)(pixels / 127.5 - 1, training=False)
    flat = np.concatenate([np.reshape(layer, (2, -1)) for layer in (middle, last)], axis=1)
    assert (np.abs(flat) > 0.1).mean() > 0.1
    np.testing.assert_allclose(kept, flat, atol=5e-3)


@pytest.mark.parametrize("is_cached", [True, False])
def test_without_connections_only_weights_that_keras_has_downloaded_before_are_used(extractor, monkeypatch, is_cached):
    def make(weights, **_):
        if not is_cached:
            urllib.request.urlopen("https://storage.googleapis.com/weights.h5")
        assert weights == "imagenet"
        return extractor.base

    monkeypatch.setenv("EAGER_EXAMPLES_OFFLINE", "1")
    monkeypatch.setitem(NETWORKS, "mobilenet_v2", replace(NETWORKS["mobilenet_v2"], make=make))
    if is_cached:
        load_extractor("mobilenet_v2", "imagenet")
    else:
        with pytest.raises(UserError, match="--encoder-weights imagenet: .*EAGER_EXAMPLES_OFFLINE is set, and"):
            load_extractor("mobilenet_v2", "imagenet")


def test_features_of_mirrored_images_have_a_key_of_their_own(extractor):
    pixels = np.random.default_rng(1).integers(255, size=(2, 224, 224, 3), dtype=np.uint8)
    mirrored = replace(extractor, mirror=True)
    np.testing.assert_array_equal(mirrored(pixels), extractor(pixels[:, :, ::-1]))
    assert mirrored.key != extractor.key


@pytest.mark.parametrize("name", NETWORKS)
def test_both_networks_get_values_from_minus_one_to_one(name):
    values = tf.constant([0.0, 127.5, 255.0])
    np.testing.assert_array_equal(NETWORKS[name].preprocess(values), [-1, 0, 1])


def test_a_network_gets_the_input_that_it_expects(extractor, monkeypatch):
    pixels = np.full((1, 224, 224, 3), 200, np.uint8)
    inverted = replace(NETWORKS["mobilenet_v2"], preprocess=lambda x: 1 - x / 127.5)
    before = extractor.extract(255 - pixels)
    monkeypatch.setitem(NETWORKS, "mobilenet_v2", inverted)
    np.testing.assert_array_equal(extractor.extract(pixels), before)


def test_a_layer_too_fine_is_averaged():
    extractor = load_extractor("inception_v3", "random")
    assert extractor.grids == ((64, 768), (64, 2048))


def test_saved_weights_make_the_same_extractor_under_any_policy(extractor, tmp_path):
    extractor.base.save_weights(tmp_path / "e.weights.h5")
    keras.config.set_dtype_policy("mixed_bfloat16")
    again = load_extractor("mobilenet_v2", str(tmp_path / "e.weights.h5"))
    assert keras.config.dtype_policy().name == "mixed_bfloat16"
    assert again.key == extractor.key and again.network.compute_dtype == "float32"
    again.base.layers[1].kernel.assign_add(tf.ones_like(again.base.layers[1].kernel))
    assert load_extractor("mobilenet_v2", "random").key != extractor.key


@pytest.mark.parametrize("weights", ["none.weights.h5", "imagenet"])
def test_weights_that_cannot_be_had_are_an_error(weights, tmp_path):
    with pytest.raises(UserError, match="--encoder-weights") as error:
        load_extractor("mobilenet_v2", weights if weights == "imagenet" else str(tmp_path / weights))
    assert "\n" not in str(error.value)


def test_the_tiny_extractor_hands_on_pixels():
    extractor = load_extractor("tiny", "imagenet")
    pixels = np.random.default_rng(1).integers(255, size=(2, 64, 64, 3), dtype=np.uint8)
    assert (extractor(tf.constant(pixels)).numpy() == pixels).all() and extractor.shape == (64, 64, 3)
