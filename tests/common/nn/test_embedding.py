import keras
import numpy as np
import pytest
import tensorflow as tf

from common.nn.embedding import unit_normal_embedding

V, E = 500, 8
IDS = tf.constant([[1, 1, 7], [499, 0, 1]])


@pytest.fixture(params=["float32", "mixed_bfloat16", "mixed_float16"])
def policy(request):
    keras.config.set_dtype_policy(request.param)
    yield keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize("cast_table", [False, True])
def test_it_is_an_embedding_of_the_compute_dtype(policy, cast_table):
    keras.utils.set_random_seed(1)
    layer = unit_normal_embedding(V, E, name="words", cast_table=cast_table)
    with tf.GradientTape() as tape:
        vectors = layer(IDS)
        total = tf.reduce_sum(tf.cast(vectors, tf.float32))
    table = layer.embeddings.numpy()
    assert vectors.dtype == policy.compute_dtype and layer.embeddings.dtype == "float32" and layer.name == "words"
    np.testing.assert_array_equal(vectors, tf.cast(tf.gather(table, IDS), policy.compute_dtype))
    expected = np.zeros([V, E])
    np.add.at(expected, IDS.numpy(), 1.0)
    np.testing.assert_array_equal(tf.convert_to_tensor(tape.gradient(total, layer.embeddings.value)), expected)


def test_it_starts_as_a_unit_normal_and_equals_keras_embedding():
    def started(make):
        keras.utils.set_random_seed(1)
        layer = make()
        layer(IDS)
        return layer.embeddings.numpy()

    normal = keras.initializers.RandomNormal
    plain = started(lambda: keras.layers.Embedding(V, E, embeddings_initializer=normal(stddev=1.0)))
    for cast_table in (False, True):
        np.testing.assert_array_equal(started(lambda c=cast_table: unit_normal_embedding(V, E, cast_table=c)), plain)
    assert abs(plain.mean()) < 0.1 and plain.std() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("cast_table", [False, True])
def test_only_rows_that_are_looked_up_are_cast_unless_asked(cast_table):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        layer = unit_normal_embedding(V, E, cast_table=cast_table)
        layer(IDS)
        graph = tf.function(layer).get_concrete_function(IDS).graph
    finally:
        keras.config.set_dtype_policy("float32")
    cast_shapes = [
        operation.inputs[0].shape.as_list() for operation in graph.get_operations() if operation.type == "Cast"
    ]
    assert ([V, E] in cast_shapes) == cast_table
