import numpy as np
import tensorflow as tf

from benchmarks.where_captioner_looks import attention_and_posterior
from examples.image_captioning.feature_grids import FeatureGrids
from examples.image_captioning.model import Captioner


def test_posterior_attention_weighs_each_cell_by_the_probability_of_the_word():
    tf.random.set_seed(1)
    model = Captioner(7, FeatureGrids((16, 3), (4, 5)), embedding_dim=6, units=8, attention_units=4)
    stored = tf.cast(3 * tf.random.normal([1, 16 * 3 + 4 * 5]), tf.float16)
    ids = tf.constant([1, 4, 5, 2])
    _, expected_attention = model(stored, ids[None, :-1])  # 1 T L
    attention, posterior = (values.numpy() for values in attention_and_posterior(model, stored, ids))
    np.testing.assert_allclose(attention, expected_attention[0], rtol=1e-5)

    image, state = model.encode(stored)
    words = model.embed(ids[None, :-1])
    hidden = model.lstm(words, initial_state=state)
    for t in range(3):
        likelihoods = []
        for row in range(4):
            for column in range(4):  # a content cell covers 2 x 2 location cells
                content = image.content_values[0, row // 2 * 2 + column // 2]
                context = tf.concat([image.location_features[0, row * 4 + column], content], axis=0)
                logits = model.deep_output(
                    hidden[:, t : t + 1], context[None, None], image.mean_feature, words[:, t : t + 1]
                )
                likelihoods.append(float(tf.nn.softmax(logits)[0, 0, ids[t + 1]]))
        by_hand = attention[t] * likelihoods / np.sum(attention[t] * likelihoods)
        np.testing.assert_allclose(posterior[t], by_hand, rtol=1e-4)
    assert np.abs(posterior - attention).max() > 1e-3
