import os
import shutil
from dataclasses import replace

import keras
import numpy as np
import pytest

from examples.dcgan.metrics import classifier
from examples.dcgan.metrics.classifier import load_or_train_classifier


def test_the_classifier_is_accurate_and_is_cached(tiny_images, feature_classifier, capsys):
    assert feature_classifier.accuracy > 0.95  # 0.989 to 0.996, by processor
    again = load_or_train_classifier(tiny_images)
    assert capsys.readouterr().out == "" and again.sha256 == feature_classifier.sha256
    np.testing.assert_array_equal(
        again.features(tiny_images.held_out[:9])[0], feature_classifier.features(tiny_images.held_out[:9])[0]
    )
    _, probabilities = again.features(tiny_images.held_out)
    assert (probabilities.argmax(axis=1) == tiny_images.held_out_labels).mean() == pytest.approx(
        feature_classifier.accuracy
    )


def test_a_damaged_classifier_is_trained_again(tiny_images, feature_classifier, tmp_path, monkeypatch):
    shutil.copytree(os.environ["XDG_CACHE_HOME"], tmp_path / "cache")  # other tests use the one that is copied
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    cached = classifier._cache_path(tiny_images)
    [path] = cached.rglob("*.safetensors")
    path.write_bytes(path.read_bytes()[:-10])
    monkeypatch.setattr(classifier, "_train", lambda network, images: 0.5)
    assert load_or_train_classifier(tiny_images).accuracy == 0.5


def test_images_that_are_labelled_anew_have_another_classifier(tiny_images):
    labels = tiny_images.train_labels
    others = [replace(tiny_images, train_labels=labels[::-1]), replace(tiny_images, fingerprint={"sha256": "0"})]
    paths = [classifier._cache_path(images) for images in (tiny_images, replace(tiny_images), *others)]
    assert paths[0] == paths[1] and len({*paths}) == 3


def test_the_classifier_is_the_same_whatever_the_precision_of_the_run(tiny_images, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(classifier, "_train", lambda network, images: 0.5)
    keras.config.set_dtype_policy("mixed_bfloat16")
    assert {layer.compute_dtype for layer in load_or_train_classifier(tiny_images).network.layers} == {"float32"}
