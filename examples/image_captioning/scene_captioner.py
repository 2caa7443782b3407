# %% [markdown]
# ## The captioner of drawn scenes
#
# `tiny` trains this subclass: there, change its `forward`, `decode_step` and `train_step`; those of `Captioner` are for
# photos. A small CNN, trained with the captioner, replaces the frozen one. There are four more changes:
#
# - Location features are multiplied by the square of the *coverage*: 0 beside a shape, and about 1 inside it. So
#   attention does not select a cell beside the shape. Content features are $x$, $x$ times the column and $x$ times the
#   row of the cell, so that their mean contains where things are.
# - The LSTM gets the mean feature $g$ with every word: the relation of two shapes depends on it.
# - The gate $\beta_t$ has one value for each unit.
# - An **auxiliary loss** trains attention. A scene can be described from $g$ alone, so the captions give attention no
#   reason to select a shape. An auxiliary classifier predicts each word from the attended location features and the
#   previous word only.
#
# Letters in shape comments: B captions, T words, L cells, C channels, E embedding, U units, V vocabulary, S image size.

# %%
"""Step 3 for `tiny`: the captioner of drawn scenes, with a CNN that is trained along and an auxiliary loss."""

import keras
import tensorflow as tf

from common.nn.gradients import apply_gradients
from common.nn.losses import masked_mean, smoothed_cross_entropy
from examples.image_captioning.attention import EncoderOutput
from examples.image_captioning.model import Batch, Captioner, State, doubly_stochastic_loss

# %%
AUXILIARY_LOSS_WEIGHT = 1.0


class SmallConvNet(keras.layers.Layer):
    """Compute the features of small images of shapes by three convolutions; a cell is 8 x 8 pixels."""

    def __init__(self, image_size: int, channels: int = 48):
        """Create the convolutions.

        With even kernels the receptive field, 22 x 22 pixels, is centred on the cell. It covers a whole shape.
        """
        super().__init__()
        self.side, self.channels = image_size // 8, channels
        self.convolutions = [
            keras.layers.Conv2D(
                filters, 4, strides=2, padding="same", activation="relu", kernel_initializer="he_normal"
            )
            for filters in (16, 32, channels)
        ]

    def call(self, pixels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Map uint8 [B, S, S, 3] to location features [B, L, C] and content features [B, L, 3C].

        Location features are multiplied by the square of the coverage: 0 beside a shape, about 1 inside it.
        Otherwise attention could select a cell beside the shape, whose receptive field contains half of it. Content
        features are x, x times the column and x times the row of the cell: their mean contains where things are.
        """
        x = 1 - tf.cast(pixels, self.compute_dtype) / 255  # B S S 3; the background is nearly 0, like the padding
        saturation = tf.reduce_max(x, axis=-1, keepdims=True) - tf.reduce_min(x, axis=-1, keepdims=True)  # B S S 1
        coverage = tf.nn.avg_pool2d(2 * saturation, 8, 8, "VALID")  # B S/8 S/8 1; inside 0.9 (green) to 1.7 (yellow)
        for convolution in self.convolutions:
            x = convolution(x)  # B S/2 S/2 16, B S/4 S/4 32, B S/8 S/8 C
        position = tf.cast(tf.linspace(-1.0, 1.0, self.side), x.dtype)  # S/8
        content = tf.concat([x, x * position[:, None], x * position[:, None, None]], axis=-1)  # B S/8 S/8 3C
        location = x * coverage**2  # B S/8 S/8 C
        return tuple(tf.reshape(grid, [-1, self.side**2, grid.shape[-1]]) for grid in (location, content))


# %%
class SceneCaptioner(Captioner):
    """Caption drawn scenes: `Captioner` with the mean feature in every LSTM input, a vector gate, an auxiliary loss."""

    def __init__(self, vocabulary_size: int, image_size: int, embedding_dim: int, units: int, **settings):
        """Create the layers; `settings` are the other arguments of `Captioner`."""
        convolutions = SmallConvNet(image_size)
        super().__init__(vocabulary_size, convolutions, embedding_dim, units, gate_units=units, **settings)
        self.auxiliary_logits = keras.layers.Dense(vocabulary_size, name="auxiliary_logits")
        self.auxiliary_logits.build([None, None, convolutions.channels + embedding_dim])

    def call(self, images: tf.Tensor, inputs: tf.Tensor, training: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        """Return logits and attention weights, as `Captioner.call` does."""
        logits, weights, _ = self.forward(images, inputs, training)
        return logits, weights

    def forward(self, images: tf.Tensor, inputs: tf.Tensor, training: bool) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Return logits, attention weights, and the inputs of the auxiliary classifier [B, T, C+E]."""
        image, state = self.encode(images, training)
        embedded = self.embed(inputs, training)  # B T E
        lstm_inputs = with_mean_feature(embedded, image.mean_feature[:, None])  # B T E+U
        hidden = self.lstm(lstm_inputs, initial_state=state, training=training)  # B T U
        context, weights = self.attend(hidden, image, training)  # B T C+U, B T L
        location_context = context[..., : self.image_encoder.channels]  # B T C
        logits = self.deep_output(hidden, context, image.mean_feature, embedded, training=training)  # B T V
        return logits, weights, tf.concat([location_context, embedded], axis=-1)

    def decode_step(self, ids: tf.Tensor, state: State, image: EncoderOutput) -> tuple[tf.Tensor, State, tf.Tensor]:
        """Return logits [B, V], new state and attention weights [B, L] for ids int32 [B]: `call` for one word."""
        embedded = self.embedding(ids)  # B E
        hidden, state = self.lstm.cell(with_mean_feature(embedded, image.mean_feature), state)  # B U
        context, weights = self.attend(hidden[:, None], image)  # B 1 C+U, B 1 L
        logits = self.deep_output(hidden[:, None], context, image.mean_feature, embedded[:, None])  # B 1 V
        return logits[:, 0], [*state], weights[:, 0]

    def train_step(self, batch: Batch) -> dict[str, tf.Tensor]:
        """Run one training step with the auxiliary loss; return the mean negative log-likelihood of the batch."""
        images, inputs, targets, mask = batch
        with tf.GradientTape() as tape:
            logits, weights, auxiliary_inputs = self.forward(images, inputs, training=True)
            cross_entropy, nll = smoothed_cross_entropy(logits, targets, self.label_smoothing)  # B T
            loss = masked_mean(cross_entropy, mask)
            loss += self.doubly_stochastic_weight * doubly_stochastic_loss(weights, mask)
            auxiliary_logits = tf.cast(self.auxiliary_logits(auxiliary_inputs), tf.float32)  # B T V
            _, auxiliary_nll = smoothed_cross_entropy(auxiliary_logits, targets, 0.0)  # B T
            loss += AUXILIARY_LOSS_WEIGHT * masked_mean(auxiliary_nll, mask)
        apply_gradients(self.optimizer, tape, loss, self.trainable_variables)
        nll = masked_mean(nll, mask)
        self.mean_loss.update_state(nll)
        return {"loss": nll}


def with_mean_feature(embedded: tf.Tensor, mean_feature: tf.Tensor) -> tf.Tensor:
    """Return word vectors [B, ..., E] concatenated with the mean feature, broadcast to [B, ..., U]."""
    shape = tf.concat([tf.shape(embedded)[:-1], tf.shape(mean_feature)[-1:]], axis=0)
    return tf.concat([embedded, tf.broadcast_to(mean_feature, shape)], axis=-1)
