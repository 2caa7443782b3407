import numpy as np
import tensorflow as tf

from examples.image_captioning.feature_grids import FeatureGrids


def test_the_location_features_of_all_cells_have_the_same_mean_square():
    stored = np.array([[1.0, 2.0, 10.0, 20.0, 0.0, 0.0, 7.0, 8.0, 9.0]])
    location, content = FeatureGrids((3, 2), (1, 3))(stored.astype("float16"))
    np.testing.assert_allclose(location[0, 0], location[0, 1], atol=1e-3)
    np.testing.assert_allclose(tf.reduce_mean(location**2, axis=-1), [[1, 1, 0]], atol=1e-3)
    np.testing.assert_array_equal(content, [[[7, 8, 9]]])
