"""Cross-entropy with and without label smoothing, and means over the positions that are not padding.

With several replicas, a mean is the share of this replica in the mean over all of them, see `common.nn.replicas`.
Shapes: B batch, T length, V vocabulary.
"""

import tensorflow as tf

from common.nn.replicas import sum_over_replicas


def smoothed_cross_entropy(
    logits: tf.Tensor, targets: tf.Tensor, label_smoothing: float
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the label-smoothed loss and the plain negative log-likelihood (nll), both in nats, float32 [B, T].

    nll = -ln p(target) for `logits` float32 [B, T, V] and `targets` int32 [B, T]. The smoothed loss is (1 - e) nll + e
    mean_v(-ln p(v)) for e = `label_smoothing`, from 0 to below 1 (Szegedy et al. 2016, arXiv:1512.00567, section 7).
    Both share one log-sum-exp over the vocabulary.
    """
    flat = tf.reshape(logits, [-1, logits.shape[-1]])  # BT V
    indices = tf.stack([tf.range(tf.size(targets)), tf.reshape(targets, [-1])], axis=1)  # BT 2
    log_z = tf.reduce_logsumexp(flat, axis=-1)  # BT
    nll = log_z - tf.gather_nd(flat, indices)  # BT
    uniform_nll = log_z - tf.reduce_mean(flat, axis=-1)  # BT
    smoothed = (1 - label_smoothing) * nll + label_smoothing * uniform_nll  # BT
    return tf.reshape(smoothed, tf.shape(targets)), tf.reshape(nll, tf.shape(targets))


def masked_mean(values: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Return the mean, a scalar, of `values` [B, T] where `mask` bool [B, T] is True; 0 if it is False everywhere."""
    weights = tf.cast(mask, values.dtype)
    return tf.math.divide_no_nan(tf.reduce_sum(values * weights), sum_over_replicas(tf.reduce_sum(weights)))
