import keras
import numpy as np
import pytest
import tensorflow as tf

from common.nn.ema import ExponentialMovingAverage
from common.training.checkpoints import Checkpoints, named_variables

INPUTS = tf.random.stateless_normal([16, 3], seed=[1, 0])


class Averaged(keras.Model):
    """A network with batch norm and dropout, and its average."""

    def __init__(self, decay):
        super().__init__()
        self.network, copy = (
            keras.Sequential([keras.layers.Dense(4), keras.layers.BatchNormalization(), keras.layers.Dropout(0.5)])
            for _ in range(2)
        )
        self.average = ExponentialMovingAverage(copy, decay)
        self.network(INPUTS)
        self(INPUTS)
        self.average.initialize(self.network)

    def call(self, inputs):
        return self.average(inputs)


def change(network, step):
    """Set the weights to numbers that depend on the step, as training would."""
    random = np.random.default_rng(step)
    for weight in network.weights:
        weight.assign(random.uniform(0.5, 1.5, weight.shape))


@pytest.mark.parametrize("decay", [0.0, 0.3, 0.999])
def test_the_average_equals_the_formula_in_numpy(decay):
    model = Averaged(decay)
    expected = model.network.get_weights()
    for t in range(1, 8):
        change(model.network, t)
        model.average.update(model.network)
        d = min(decay, (1 + t) / (10 + t))
        expected = [d * mean + (1 - d) * w for mean, w in zip(expected, model.network.get_weights(), strict=True)]
    for weight, mean in zip(model.average.averaged_network.get_weights(), expected, strict=True):
        np.testing.assert_allclose(weight, mean, rtol=1e-5)


def test_the_outputs_are_those_of_the_network_in_inference_mode():
    model = Averaged(0.0)  # the latest weights
    change(model.network, 1)
    model.average.update(model.network)
    np.testing.assert_allclose(model(INPUTS), model.network(INPUTS, training=False), rtol=1e-5)
    assert not np.allclose(model(INPUTS), model.network(INPUTS, training=True), atol=0.1)


def test_only_the_network_is_trainable():
    model = Averaged(0.9)
    assert [id(w) for w in model.trainable_variables] == [id(w) for w in model.network.trainable_variables]


def test_in_a_graph_it_counts_every_update():
    model = Averaged(0.999)
    step = tf.function(lambda: model.average.update(model.network))
    for _ in range(3):
        step()
    assert int(model.average.updates) == 3


def test_a_checkpoint_contains_the_average_and_the_number_of_updates(tmp_path):
    def continued(model):
        for t in (3, 4):
            change(model.network, t)
            model.average.update(model.network)
        return model.average.get_weights()

    model = Averaged(0.999)
    for t in (1, 2):
        change(model.network, t)
        model.average.update(model.network)
    Checkpoints(tmp_path, model=named_variables(model)).save("latest", 2, {})
    again = Averaged(0.999)
    Checkpoints(tmp_path, model=named_variables(again)).restore("latest")
    for weight, expected in zip(continued(again), continued(model), strict=True):
        np.testing.assert_array_equal(weight, expected)
