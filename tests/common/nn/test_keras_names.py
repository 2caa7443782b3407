"""Names of Keras that its documentation does not promise, and that common/nn needs."""

import keras
import pytest


@pytest.fixture(scope="module")
def adam():
    optimizer = keras.optimizers.Adam()
    optimizer.build([keras.Variable([1.0])])
    return optimizer


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("_var_key", "layer_rates"),
        ("_use_weight_decay", "layer_rates"),
        ("_apply_weight_decay", "layer_rates"),
        ("_get_variable_index", "adam and muon"),
        ("_momentums", "adam"),
        ("_velocities", "adam"),
        ("_all_reduce_sum_gradients", "gradients"),
    ],
)
def test_an_optimizer_of_keras_has_the_name(adam, name, module):
    assert hasattr(adam, name), f"common.nn: {module} needs Optimizer.{name}, which Keras {keras.__version__} lacks"


def test_a_recurrent_layer_of_keras_runs_its_inner_loop():
    called = []

    class Inner(keras.layers.GRU):
        def inner_loop(self, *arguments, **options):
            called.append(options)
            return super().inner_loop(*arguments, **options)

    Inner(1)(keras.ops.ones([1, 2, 1]))
    assert called, f"common.nn: recurrent needs RNN.inner_loop, which Keras {keras.__version__} does not call"
