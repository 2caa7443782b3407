import keras
import numpy as np
import pytest
import tensorflow as tf

from common.nn.token_dropout import TokenDropout

IDS = np.arange(4, 10_004, dtype=np.int32).reshape(100, 100)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_tokens_replaced_are_the_units_that_keras_dropout_sets_to_zero(dtype):
    keras.utils.set_random_seed(3)
    layer = TokenDropout(0.3, unknown=2)
    layer.dtype_policy = dtype
    keras.utils.set_random_seed(3)
    dropout = keras.layers.Dropout(0.3, dtype="float32")  # in bfloat16 its rate would be 0.305
    for _ in range(2):  # the second call draws anew
        kept = dropout(tf.ones(IDS.shape), training=True) > 0
        np.testing.assert_array_equal(layer(IDS, training=True), np.where(kept, IDS, 2))


def test_the_fraction_replaced_is_the_rate():
    replaced = np.mean(TokenDropout(0.3, unknown=2)(IDS, training=True) == 2)
    assert replaced == pytest.approx(0.3, abs=0.02)


def test_nothing_is_replaced_outside_of_training_or_at_rate_0():
    np.testing.assert_array_equal(TokenDropout(0.9, unknown=2)(IDS), IDS)
    np.testing.assert_array_equal(TokenDropout(0.0, unknown=2)(IDS, training=True), IDS)
