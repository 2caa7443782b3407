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
    return keras.config.dtype_policy()


def test_it_is_an_embedding_of_the_compute_dtype(policy):
    keras.utils.set_random_seed(1)
    layer = unit_normal_embedding(V, E, name="words")
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
    def started(make, **options):
        keras.utils.set_random_seed(1)
        layer = make(V, E, **options)
        layer(IDS)
        return layer.embeddings.numpy()

    keras.utils.set_random_seed(1)
    normal = keras.initializers.RandomNormal(stddev=1.0)
    plain = started(keras.layers.Embedding, embeddings_initializer=normal)
    np.testing.assert_array_equal(started(unit_normal_embedding), plain)
    assert abs(plain.mean()) < 0.1 and plain.std() == pytest.approx(1, abs=0.05)


def test_only_rows_that_are_looked_up_are_cast():
    keras.config.set_dtype_policy("mixed_bfloat16")
    layer = unit_normal_embedding(V, E)
    layer(IDS)
    graph = tf.function(layer).get_concrete_function(IDS).graph
    casts = [operation for operation in graph.get_operations() if operation.type == "Cast"]
    assert [V, E] not in [operation.inputs[0].shape.as_list() for operation in casts]
