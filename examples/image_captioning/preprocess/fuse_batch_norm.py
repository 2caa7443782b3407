"""Fuse the batch norm of a trained network into the convolutions before it.

In use, batch norm multiplies each channel by a number and adds another: y = s (x - m) + b, where s is the trained scale
over the standard deviation. A convolution with its weights times s and a bias of b - s m gives y at once, and the
activation behind it can be computed where the sums still are in the processor's registers.
"""

import keras
import numpy as np

CONVOLUTIONS = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)


def fuse_batch_norm(network: keras.Model) -> keras.Model:
    """Return a copy of a functional network, for use only, in which convolutions do the work of batch norm.

    Its results are those of `network` up to rounding. Batch norm whose input is not that of a convolution stays as it
    is. Nothing else may read the convolution before a batch norm; in the networks of `keras.applications` nothing does.
    """
    maker, norm_of = {}, {}  # the layer that made a tensor, by the tensor's id; the norm behind a layer, by its name

    def copied(layer: keras.Layer) -> keras.Layer:
        bias = {"use_bias": True} if isinstance(layer, CONVOLUTIONS) else {}
        return layer.from_config(layer.get_config() | bias)

    def call(layer: keras.Layer, x, *args, **kwargs):
        convolution = maker.get(id(x))
        if isinstance(layer, keras.layers.BatchNormalization) and convolution is not None:
            norm_of[convolution.name] = network.get_layer(layer.name)
            return x
        y = layer(x, *args, **kwargs)
        if isinstance(layer, CONVOLUTIONS):
            maker[id(y)] = layer
        return y

    folded = keras.models.clone_model(network, clone_function=copied, call_function=call)
    for layer in filter(lambda layer: layer.weights, folded.layers):
        weights = network.get_layer(layer.name).get_weights()
        if isinstance(layer, CONVOLUTIONS):
            weights = _folded_weights(layer, weights, norm_of.get(layer.name))
        layer.set_weights(weights)
    return folded


def _folded_weights(
    convolution: keras.Layer, weights: list[np.ndarray], norm: keras.layers.BatchNormalization | None
) -> list[np.ndarray]:
    """Return kernel [H, W, C, D], or of a depthwise convolution [H, W, C, 1], and bias, of what comes out of `norm`."""
    kernel, *bias = weights
    bias = bias[0] if bias else np.zeros(convolution.output.shape[-1], kernel.dtype)
    if norm is None:
        return [kernel, bias]
    scale = (norm.gamma.numpy() if norm.scale else 1) / np.sqrt(norm.moving_variance.numpy() + norm.epsilon)
    shift = norm.beta.numpy() if norm.center else 0
    is_depthwise = isinstance(convolution, keras.layers.DepthwiseConv2D)
    return [kernel * (scale[:, None] if is_depthwise else scale), (bias - norm.moving_mean.numpy()) * scale + shift]
