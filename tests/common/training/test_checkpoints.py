import keras
import numpy as np
import pytest
import tensorflow as tf

from common.errors import UserError
from common.training.checkpoints import (
    Checkpoints,
    list_checkpoints,
    named_variables,
    restore_weights,
    training_variables,
)
from tests.toy import Toy, build, saved_steps


def test_the_newest_is_restored_and_two_are_kept(tmp_path):
    checkpoints, variable = saved_steps(tmp_path)
    assert [path.name for path in list_checkpoints(tmp_path, "latest")] == ["latest-00000003", "latest-00000002"]
    assert checkpoints.restore("latest") == {"step": 3} and variable.numpy() == 3.0
    assert checkpoints.restore("best") is None


def test_every_variable_has_a_name_that_is_the_same_for_every_instance():
    one, other = build(), build()  # Keras numbers the layers of the second differently
    assert {v.path for v in one.variables}.isdisjoint(v.path for v in other.variables)
    assert list(named_variables(one)) == list(named_variables(other))
    assert len(named_variables(one)) == len(one.variables)
    assert {"dense/kernel", "dense_1/kernel", "dense_2/kernel", "seed_generator/seed_generator_state"} <= set(
        named_variables(one)
    )


def test_layers_in_a_list_are_restored(tmp_path):
    trained, fresh = build(), build()
    trained.hidden[1].kernel.assign(np.full((8, 8), 5.0))
    Checkpoints(tmp_path, model=named_variables(trained)).save("best", 1, {})
    restore_weights(tmp_path, fresh)
    assert (fresh.hidden[1].kernel.numpy() == 5.0).all()


def test_a_model_that_is_not_built_is_refused():
    with pytest.raises(ValueError, match="must be built"):
        named_variables(Toy())


def test_variables_of_one_path_are_refused():
    class Twice(keras.Model):
        def __init__(self):
            super().__init__()
            self.one = self.add_weight(shape=(), name="same")
            self.other = self.add_weight(shape=(), name="same")
            self.built = True

    with pytest.raises(ValueError, match="different names"):
        named_variables(Twice())


def test_without_any_checkpoint_the_way_on_is_told(tmp_path):
    with pytest.raises(UserError, match="`train` command"):
        restore_weights(tmp_path, build())


def two_optimizers():
    model = build()
    model.second_optimizer = keras.optimizers.Adam()
    return model


def test_every_optimizer_of_a_model_is_part_of_the_training_state():
    model = two_optimizers()
    for optimizer in (model.optimizer, model.second_optimizer):
        optimizer.build(model.trainable_variables)
    state = training_variables(model)
    assert set(state) == {"model", "optimizer", "second_optimizer"}
    assert len(state["second_optimizer"]) == len(model.second_optimizer.variables) > 10


def test_one_of_several_optimizers_that_is_not_built_is_an_error():
    with pytest.raises(ValueError, match="optimizer must be built on its variables"):
        training_variables(two_optimizers())


def test_bfloat16_is_kept_exactly(tmp_path):
    variable = tf.Variable([1.5, 0.1, -3e38], dtype=tf.bfloat16)
    before = variable.numpy()
    checkpoints = Checkpoints(tmp_path, model={"state": variable})
    checkpoints.save("latest", 1, {})
    variable.assign(tf.zeros(3, tf.bfloat16))
    assert checkpoints.restore("latest") == {}
    assert variable.dtype == tf.bfloat16 and np.array_equal(variable.numpy(), before)
