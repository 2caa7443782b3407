import contextlib
from functools import partial
from inspect import signature

import keras
import numpy as np
import pytest
import tensorflow as tf

from common.nn.muon import MOMENTUM, TURNS, Muon

RNG = np.random.default_rng(0)


def stepped(path, gradients, **settings):
    """Return how far a variable of this path has gone after one step for each gradient, at a rate of 1."""
    with contextlib.ExitStack() as scopes:
        for name in path.split("/"):
            scopes.enter_context(keras.name_scope(name))
        variable = keras.Variable(np.zeros_like(gradients[0]), name="kernel")
    optimizer = Muon(1.0, **settings)
    optimizer.build([variable])
    for gradient in gradients:
        optimizer.apply([tf.constant(gradient)])
    return -variable.numpy()


@pytest.mark.parametrize("shape", [(16, 16), (8, 24), (24, 8)])
def test_a_step_goes_as_far_in_every_direction(shape):
    u, _, vt = np.linalg.svd(RNG.normal(size=shape), full_matrices=False)
    gradient = (u * np.geomspace(1, 0.1, len(vt)) @ vt).astype("float32")
    step = stepped("layer", [gradient], rms_rate=0.5)
    singular = np.linalg.svd(step / (0.5 * max(shape) ** 0.5), compute_uv=False)
    assert singular.min() > 0.5 and singular.max() < 1.3
    cosine = (step * (u @ vt)).sum() / np.linalg.norm(step) / np.linalg.norm(u @ vt)
    assert cosine > 0.97
    assert np.sqrt(np.mean(step**2)) == pytest.approx(0.5, rel=0.2)


@pytest.mark.parametrize(
    "cell, scales",
    [("gru_cell", (1, 30, 0.01)), ("attention_gru_cell", (1, 30, 0.01)), ("lstm_cell", (1, 30, 0.01, 5))],
)
def test_every_gate_is_a_matrix_for_itself(cell, scales):
    gates = [RNG.normal(size=(8, 8)).astype("float32") * scale for scale in scales]
    step = stepped(cell, [np.concatenate(gates, axis=1)])
    alone = [stepped("layer", [gate]) for gate in gates]
    np.testing.assert_allclose(step, np.concatenate(alone, axis=1), atol=1e-5)
    assert not np.allclose(step, stepped("layer", [np.concatenate(gates, axis=1)]), atol=0.1)


def test_momentum_looks_one_step_ahead():
    first, second = (RNG.normal(size=(8, 8)).astype("float32") for _ in range(2))
    both = stepped("layer", [first, second])
    ahead_of_first, ahead_of_second = first + MOMENTUM * first, second + MOMENTUM * (second + MOMENTUM * first)
    alone = sum(Muon(1.0).orthogonalise(ahead) for ahead in (ahead_of_first, ahead_of_second))
    np.testing.assert_allclose(both, alone, atol=1e-4)


def test_a_step_every_other_time_goes_twice_as_far_with_all_that_was_gathered():
    first, second, third = (RNG.normal(size=(8, 8)).astype("float32") for _ in range(3))
    assert not stepped("layer", [first], every=2).any()
    ahead = second + MOMENTUM * (second + MOMENTUM * first)
    expected = 2 * Muon(1.0).orthogonalise(ahead)
    for gradients in ([first, second], [first, second, third]):
        np.testing.assert_allclose(stepped("layer", gradients, every=2), expected, atol=1e-4)


def test_biases_embeddings_and_named_layers_are_left_to_adam():
    for path, shape in (("bias", (2, 6)), ("embedding", (4, 6)), ("dense", (4, 6))):
        gradient = RNG.normal(size=shape).astype("float32")
        step = stepped(path, [gradient, gradient], exclude_layers=["dense"], adam_beta_2=0.9)
        np.testing.assert_allclose(step, 2 * np.sign(gradient), rtol=1e-4)  # Adam's first steps are of length 1


def test_the_name_of_a_model_decides_nothing():
    gradient = RNG.normal(size=(4, 6)).astype("float32")
    expected = stepped("net/dense", [gradient], exclude_layers=["logits"])
    for name in ("tied_embedding_net", "unbiased_net", "logits_net", "gru_cell_net"):
        np.testing.assert_array_equal(stepped(f"{name}/dense", [gradient], exclude_layers=["logits"]), expected)


def test_what_is_left_to_adam_steps_as_keras_own():
    gradients = [RNG.normal(size=(4, 6)).astype("float32") * scale for scale in (1, 30, 0.01)]
    theirs = keras.Variable(np.zeros((4, 6), "float32"))
    adam = keras.optimizers.Adam(1.0, beta_2=0.9, global_clipnorm=20.0)
    for gradient in gradients:
        adam.apply([tf.constant(gradient)], [theirs])
    ours = stepped("embedding", gradients, adam_beta_2=0.9, global_clipnorm=20.0)
    np.testing.assert_allclose(ours, -theirs.numpy(), rtol=1e-5)


def test_a_saved_optimizer_has_all_its_arguments():
    saved = Muon(0.1, rms_rate=0.3, every=2, exclude_layers=["dense"], adam_beta_2=0.9, weight_decay=0.01).get_config()
    loaded = Muon.from_config(saved)
    assert loaded.get_config() == saved and loaded.exclude_layers == ["dense"] and loaded.adam_betas == (0.9, 0.9)
    assert (loaded.rms_rate(), loaded.every, loaded.weight_decay) == (0.3, 2, 0.01)


def test_in_bfloat16_only_the_iteration_is_rounded():
    gradient = RNG.normal(size=(16, 16)).astype("float32")
    exact = stepped("layer", [gradient])
    keras.config.set_dtype_policy("mixed_bfloat16")
    rounded = stepped("layer", [gradient])
    assert 1e-4 < np.abs(rounded - exact).max() / np.abs(exact).max() < 0.1


def test_the_length_of_a_step_may_be_decided_later():
    gradient = RNG.normal(size=(8, 8)).astype("float32")
    rate = tf.Variable(0.0)
    later = partial(stepped, "layer", [gradient], rms_rate=lambda: rate.assign_add(0.25))
    np.testing.assert_allclose(later(), stepped("layer", [gradient], rms_rate=0.25), rtol=1e-5)
    np.testing.assert_allclose(later(), stepped("layer", [gradient], rms_rate=0.5), rtol=1e-5)


@pytest.mark.skipif("adam_weight_decay" not in signature(keras.optimizers.Muon).parameters, reason="an older Muon")
def test_a_single_matrix_steps_as_in_keras():
    gradients = [RNG.normal(size=(8, 24)).astype("float32") for _ in range(3)]
    theirs = keras.Variable(np.ones((8, 24), "float32"), name="kernel")
    ours = keras.Variable(np.ones((8, 24), "float32"), name="kernel")
    for variable, optimizer in (
        (theirs, keras.optimizers.Muon(0.1, weight_decay=0.01, ns_steps=TURNS)),
        (ours, Muon(0.1, weight_decay=0.01)),
    ):
        for gradient in gradients:
            optimizer.apply([tf.constant(gradient)], [variable])
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-4)
