"""Training steps of captioning at the sizes of the 2018 notebook: as it was there, whole in a graph, and here.

python -m benchmarks.captioning_2018
"""

import itertools
import statistics
from collections.abc import Callable, Iterable
from dataclasses import replace

import keras
import numpy as np
import tensorflow as tf
import tyro

from benchmarks.measure import Table, alternate, goal, ratio
from common.data.batching import length_buckets
from common.data.vocabulary import Vocabulary
from common.nn.adam import Adam
from common.training import trainer
from examples.image_captioning.config import PRESETS
from examples.image_captioning.demo import PhotoCaptioner, build_model
from examples.image_captioning.preprocess.feature_extractor import FeatureExtractor, load_extractor
from examples.image_captioning.vocabulary import PAD, SPECIAL_TOKENS, START

VOCABULARY, EMBEDDING, UNITS, BATCH_SIZE, LONGEST = 5001, 256, 512, 64, 49
CELLS, CHANNELS = 64, 2048
CAPTIONS = 3000
WORDS_OF_A_SEARCH = 12


class Captioner2018(keras.Model):
    """Encoder and decoder of 2018: keys and logits of every word computed inside the loop over words."""

    def __init__(self, words: int = VOCABULARY):
        """Lay out the layers for a vocabulary of so many words."""
        super().__init__()
        self.encoder = keras.layers.Dense(EMBEDDING, activation="relu")
        self.embedding = keras.layers.Embedding(words, EMBEDDING)
        self.gru = keras.layers.GRU(UNITS, return_sequences=True, return_state=True)
        self.key, self.query, self.score = (keras.layers.Dense(width) for width in (UNITS, UNITS, 1))
        self.mixed, self.logits = keras.layers.Dense(UNITS), keras.layers.Dense(words)

    def losses(self, features: tf.Tensor, ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the nll and the mask float32 [B, T - 1] of ids [B, T]: one turn of a Python loop for each word."""
        values, state, losses = self.encoder(features), tf.zeros([tf.shape(ids)[0], UNITS]), []  # B L E, B U
        for t in range(1, ids.shape[1]):
            scores = self.score(tf.tanh(self.key(values) + self.query(state[:, None])))  # B L 1
            context = tf.reduce_sum(tf.nn.softmax(scores, axis=1) * values, axis=1)  # B E
            x = tf.concat([context[:, None], self.embedding(ids[:, t - 1])[:, None]], axis=-1)  # B 1 2E
            output, state = self.gru(x)  # as published: without the state before
            logits = self.logits(self.mixed(output[:, 0]))  # B V
            losses.append(tf.nn.sparse_softmax_cross_entropy_with_logits(ids[:, t], logits))
        return tf.stack(losses, axis=1), tf.cast(ids[:, 1:] != PAD, tf.float32)  # B T-1, B T-1

    def train_step(self, batch: tuple[tf.Tensor, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Learn from features [B, L, C] and ids [B, T]."""
        with tf.GradientTape() as tape:
            nll, mask = self.losses(*batch)
            loss = tf.reduce_sum(tf.reduce_mean(nll * mask, axis=0))
        variables = self.trainable_variables
        self.optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return {"loss": loss}


def captions() -> list[np.ndarray]:
    """Return int32 ids of random words between start and end, of about as many words as those of MS-COCO have."""
    rng = np.random.default_rng(1)
    words = rng.normal(10.5, 2.4, size=CAPTIONS).round().clip(5, LONGEST - 2).astype(int)
    return [np.array([START, *rng.integers(len(SPECIAL_TOKENS), VOCABULARY, n), 2], np.int32) for n in words]


def padded(ids: Iterable[np.ndarray], length: int) -> np.ndarray:
    """Return ids filled up with padding, int32 [B, length]."""
    return np.array([np.pad(each, (0, length - len(each)), constant_values=PAD) for each in ids])


def in_2018(ids: list[np.ndarray]) -> Callable[[], None]:
    """Return a step as in 2018, whole in a graph, on batches padded to the longest caption of the data."""
    trainer.set_seed_and_precision(1, "float32")
    model = Captioner2018()
    model.compile(keras.optimizers.Adam())
    features = tf.random.uniform([BATCH_SIZE, CELLS, CHANNELS], 0, 3)
    batches = [(features, tf.constant(padded(ids[n : n + BATCH_SIZE], LONGEST))) for n in range(0, 640, BATCH_SIZE)]
    model.train_step((features, batches[0][1][:, :2]))  # creates all variables
    return steps(tf.function(model.train_step), batches)


def here(extractor: FeatureExtractor, ids: list[np.ndarray], precision: str) -> Callable[[], None]:
    """Return a step of the example at the same sizes, on batches of captions of like lengths."""
    trainer.set_seed_and_precision(1, precision)
    sizes = {"embedding_dim": EMBEDDING, "units": UNITS, "attention_units": UNITS}
    rates = dict.fromkeys(("dropout", "input_dropout", "word_dropout", "label_smoothing"), 0.0)
    model = build_model(replace(PRESETS["quick"], **sizes, **rates), VOCABULARY, extractor)
    model.compile(Adam())
    model.optimizer.build(model.trainable_variables)
    source = tf.cast(tf.random.uniform([BATCH_SIZE, *extractor.shape], 0, 3), extractor.dtype)
    batches = []
    for numbers in length_buckets(np.array([*map(len, ids)]), BATCH_SIZE, seed=1, epoch=0):
        if len(numbers) == BATCH_SIZE:
            some = [ids[number] for number in numbers]
            rows = tf.constant(padded(some, max(map(len, some))))
            batches.append((source, rows[:, :-1], rows[:, 1:], rows[:, 1:] != PAD))
    some_length = [tf.TensorSpec([BATCH_SIZE, None], dtype) for dtype in (tf.int32, tf.int32, tf.bool)]
    signature = (tf.TensorSpec(source.shape, source.dtype), *some_length)
    return steps(tf.function(model.train_step, input_signature=[signature]), batches)


def steps(step: Callable, batches: list) -> Callable[[], None]:
    """Return a function that makes the next step."""
    endless = itertools.cycle(batches)
    return lambda: float(step(next(endless))["loss"])


def searches(extractor: FeatureExtractor) -> dict[str, tuple[int, Callable[[], object]]]:
    """Return ways of making captions, with how many each makes, by a model of the `quick` preset."""
    config = PRESETS["quick"]
    trainer.set_seed_and_precision(1, "float32")
    vocabulary = Vocabulary([*SPECIAL_TOKENS, *(f"word{number}" for number in range(2534))])
    model = build_model(config, len(vocabulary), extractor)
    captioner = PhotoCaptioner(model, extractor, vocabulary, WORDS_OF_A_SEARCH)
    source = tf.cast(tf.random.uniform([BATCH_SIZE, *extractor.shape], 0, 3), extractor.dtype)
    return {
        f"{name}, beam {beam}": (
            count,
            lambda n=count, b=beam: captioner.caption(source[:n], beam=b),
        )
        for beam in (1, 3)
        for name, count in (("one photo", 1), (f"{BATCH_SIZE} photos", BATCH_SIZE))
    }


def main(turns: int = 20) -> None:
    """Measure and save the table; `turns` for each way."""
    ids, large = captions(), load_extractor("inception_v3", "random")
    ways = {
        "training as in 2018, whole in a graph, float32": (BATCH_SIZE, in_2018(ids)),
        "training here, float32": (BATCH_SIZE, here(large, ids, "float32")),
        "training here, bfloat16": (BATCH_SIZE, here(large, ids, "bfloat16")),
    } | searches(load_extractor("mobilenet_v2", "random"))
    seconds = alternate({name: way for name, (_, way) in ways.items()}, turns)
    baseline = next(iter(seconds.values()))
    times = {name: ratio(each, baseline) for name, each in seconds.items() if name.startswith("training")}
    mean = statistics.mean(map(len, ids))
    Table(
        "Captioning: training at the sizes of 2018, and making captions",
        f"Captions a second, medians of {turns} turns. Training: {CELLS} x {CHANNELS} features in 2018, with "
        f"{large.grids[0][1]} more of the middle layer here; embedding {EMBEDDING}, {UNITS} units, batches of "
        f"{BATCH_SIZE}, {VOCABULARY:,} words, Adam; captions of {mean:.1f} tokens in the mean, padded to {LONGEST} as "
        f"in 2018, and in batches of like length here. Making: {WORDS_OF_A_SEARCH} words each, by an untrained model "
        "of the `quick` preset on MobileNetV2's features.",
        ["way", "captions a second", "times 2018"],
        [
            [name, f"{count / statistics.median(seconds[name]):,.0f}", f"{times[name]:.1f}" if name in times else ""]
            for name, (count, _) in ways.items()
        ],
        goals=[
            goal("captioning, training, times 2018, float32", times["training here, float32"], least=6, form=".1f"),
            goal("the same in bfloat16", times["training here, bfloat16"], least=6, form=".1f"),
        ],
    ).save()


if __name__ == "__main__":
    tyro.cli(main)
