import keras
import numpy as np
import pytest
import tensorflow as tf

from common.nn.adam import Adam
from common.nn.muon import Muon

OPTIMIZERS = {
    "adam": lambda **settings: Adam(0.1, **settings),
    "muon": lambda **settings: Muon(0.1, **settings),
}


def layers():
    stack = [keras.layers.Dense(3, name=name) for name in ("bottom", "middle", "top")]
    for layer in stack:
        layer.build([None, 3])
    return stack


def movements(optimizer, stack, steps=1, gradient=1.0):
    """Return the largest step of each layer's matrix, from the bottom, after `steps` equal gradients."""
    variables = [layer.kernel for layer in stack]
    before = [np.array(variable) for variable in variables]
    optimizer.build(variables)
    for _ in range(steps):
        optimizer.apply_gradients([(gradient * tf.ones_like(variable), variable) for variable in variables])
    return [np.abs(np.array(variable) - old).max() for variable, old in zip(variables, before, strict=True)]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_each_layer_has_the_rate_of_the_one_above_divided_by_the_factor(name):
    stack, optimizer = layers(), OPTIMIZERS[name]()
    optimizer.set_layer_rates(stack[::-1], factor=2.6)
    bottom, middle, top = movements(optimizer, stack)
    assert [top / middle, middle / bottom] == pytest.approx([2.6, 2.6], rel=1e-3)
    assert top == pytest.approx(movements(OPTIMIZERS[name](), layers())[2], rel=1e-4), "the top has the whole rate"


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_layers_are_unfrozen_from_the_top(name):
    for steps, free in ((1, 1), (2, 1), (3, 2), (4, 2), (5, 3)):
        stack, optimizer = layers(), OPTIMIZERS[name](weight_decay=0.1)
        optimizer.set_layer_rates(stack[::-1], steps_per_layer=2)
        assert [movement > 0 for movement in movements(optimizer, stack, steps)] == [n < free for n in (2, 1, 0)]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_weight_decay_follows_the_rate_of_the_layer(name):
    stack, optimizer = layers(), OPTIMIZERS[name](weight_decay=0.5)
    before = [np.array(layer.kernel) for layer in stack]
    optimizer.set_layer_rates(stack[::-1], factor=2.0)
    movements(optimizer, stack, gradient=0.0)
    left = [(np.array(layer.kernel) / old).mean() for layer, old in zip(stack, before, strict=True)]
    assert left == pytest.approx([1 - 0.5 * 0.1 / 4, 1 - 0.5 * 0.1 / 2, 1 - 0.5 * 0.1], rel=1e-5)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_layer_without_a_rate_is_named(name):
    stack, optimizer = layers(), OPTIMIZERS[name]()
    optimizer.set_layer_rates(stack[:2])
    with pytest.raises(ValueError, match="^top/kernel is in none of the layers given to set_layer_rates"):
        movements(optimizer, stack)
