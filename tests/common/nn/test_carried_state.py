import keras
import numpy as np
import pytest
import tensorflow as tf

from common.nn.carried_state import CarriedState
from common.training.checkpoints import Checkpoints, named_variables

B, U = 2, 3


def some_state(value, dtype="float32"):
    """Return the state of two layers of one and two tensors."""
    return [[tf.fill([B, U], tf.cast(value, dtype))], [tf.fill([B, U], tf.cast(value + i, dtype)) for i in (1, 2)]]


def assert_same(state, expected):
    tf.nest.map_structure(np.testing.assert_array_equal, state, expected)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_what_is_written_is_read_until_a_reset(dtype):
    carried = CarriedState(some_state(5, dtype))
    zeros = tf.nest.map_structure(tf.zeros_like, some_state(5, dtype))
    assert_same(carried.read(reset=False), zeros)
    carried.write(some_state(7, dtype))
    assert_same(carried.read(reset=False), some_state(7, dtype))
    assert_same(carried.read(reset=True), zeros)
    assert_same(carried.read(reset=False), some_state(7, dtype))  # reading changes nothing
    assert all(tensor.dtype == dtype for tensor in tf.nest.flatten(carried.read(reset=False)))


def test_it_works_in_a_compiled_step():
    carried = CarriedState(some_state(0))

    @tf.function(input_signature=[tf.TensorSpec([], tf.bool)])
    def step(is_start):
        carried.write(tf.nest.map_structure(lambda tensor: tensor + 1, carried.read(reset=is_start)))

    for is_start in (True, False, False, True, False):
        step(tf.constant(is_start))
    assert_same(carried.read(reset=False), tf.nest.map_structure(lambda zeros: zeros + 2, carried.read(reset=True)))


def test_no_gradient_flows_through_it():
    carried = CarriedState(some_state(0))
    x = tf.Variable(1.0)
    with tf.GradientTape() as tape:
        carried.write(tf.nest.map_structure(lambda tensor: tensor * x, some_state(1)))
        total = tf.add_n([tf.reduce_sum(tensor) for tensor in tf.nest.flatten(carried.read(reset=False))])
    assert tape.gradient(total, x) is None and carried.trainable_variables == []


def test_a_state_of_another_number_of_tensors_is_refused():
    with pytest.raises(ValueError, match="zip"):
        CarriedState(some_state(0)).write(some_state(0)[:1])


class Model(keras.Model):
    def __init__(self):
        super().__init__()
        self.train_state = CarriedState(some_state(0), name="train_state")
        self.test_state = CarriedState(some_state(0), name="test_state")
        self.built = True


def test_a_model_saves_it_in_its_checkpoints(tmp_path):
    model, restored = Model(), Model()
    model.train_state.write(some_state(4))
    Checkpoints(tmp_path, model=named_variables(model)).save("latest", 1, {})
    Checkpoints(tmp_path, model=named_variables(restored)).restore("latest")
    assert_same(restored.train_state.read(reset=False), some_state(4))
    assert_same(restored.test_state.read(reset=False), restored.test_state.read(reset=True))
