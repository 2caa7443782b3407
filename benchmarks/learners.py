"""What `benchmarks.learning_curves` compares: each example, and the notebook or tutorial that it succeeds."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from benchmarks.captioning_2018 import Captioner2018
from benchmarks.plain_dcgan import BATCH_SIZE, PlainDCGAN
from benchmarks.translation_2018 import Translator2018, padded_batches
from common.training import trainer
from common.training.hardware import fast_precision
from common.training.schedule import WarmupCosine
from examples.dcgan.demo import ImageGenerator
from examples.dcgan.evaluate import EVALUATION_SEED, MAX_SAMPLES, measure_classes
from examples.dcgan.metrics.classifier import load_or_train_classifier
from examples.image_captioning.data import CaptionBatches

HERE = "here"
ALL_STEPS = 1_000_000
"""Planned until it is known how many steps fit."""


@dataclass
class Learner:
    """A model in training: its steps, what it has learnt, and its learning rate, if that depends on the plan."""

    step: Callable[[tuple], object]
    batches: Callable[[int], tf.data.Dataset]
    """From the number of an epoch to its batches."""
    measure: Callable[[], float]
    schedule: WarmupCosine | None = None


def compiled(step: Callable, batches: tf.data.Dataset) -> Callable[[tuple], object]:
    """Return the training step, whole in a graph, which waits for its result."""
    graph = tf.function(step, input_signature=[batches.element_spec])
    return lambda batch: [float(value) for value in graph(batch).values()]


def of_example(
    train: ModuleType,
    config: Any,
    model: keras.Model,
    batches: Callable[[int], tf.data.Dataset],
    held_out: tf.data.Dataset,
) -> Learner:
    """Return the model of an example with the optimizer and the schedule of its module `train`."""
    schedule = train.build_schedule(config, ALL_STEPS)
    model.compile(train.build_optimizer(config, schedule))
    model.optimizer.build(model.trainable_variables)
    step = compiled(model.train_step, batches(0))
    return Learner(step, batches, lambda: trainer.evaluate(model, held_out)["loss"], schedule)


def mean_nll(losses: Callable[[tuple], tuple[tf.Tensor, tf.Tensor]], held_out: tf.data.Dataset) -> float:
    """Return the mean of the nll [B, T] where the mask is not 0; `losses` computes both for a batch."""
    total, count = 0.0, 0.0
    for batch in held_out:
        nll, mask = losses(*batch)  # B T
        total, count = total + float(tf.reduce_sum(nll * mask)), count + float(tf.reduce_sum(mask))
    return total / count


def text_generation(data_dir: Path | None) -> dict[str, Learner]:
    """Return the example and the public tutorial of character RNNs: nats per character of the validation text."""
    from examples.text_generation import train as here
    from examples.text_generation.config import PRESETS
    from examples.text_generation.data import VALIDATION_STREAMS, contiguous_batches, load_corpus, training_batches

    config = PRESETS["quick"]
    corpus = load_corpus(config.data, config.window, **config.corpus(), data_dir=data_dir)
    trainer.set_seed_and_precision(config.seed, fast_precision().name)
    model = here.build_model(config, len(corpus.vocabulary))
    batches = partial(training_batches, corpus.train, config.batch_size, config.window, config.seed)
    validation = contiguous_batches(corpus.validation, VALIDATION_STREAMS, config.window)
    mine = of_example(here, config, model, batches, validation)
    return {HERE: mine, "public tutorial": text_tutorial(corpus.train, corpus.validation, len(corpus.vocabulary))}


def text_tutorial(train: np.ndarray, validation: np.ndarray, vocabulary_size: int) -> Learner:
    """Return tensorflow.org/text/tutorials/text_generation: windows of 100 in random order, each from a zero state."""
    trainer.set_seed_and_precision(1, "float32")
    layers = [keras.layers.Embedding(vocabulary_size, 256), keras.layers.GRU(1024, return_sequences=True)]
    model = keras.Sequential([*layers, keras.layers.Dense(vocabulary_size)])
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    windows = train[: len(train) // 101 * 101].reshape(-1, 101)
    data = tf.data.Dataset.from_tensor_slices(windows).shuffle(10_000, seed=1).batch(64, drop_remainder=True)
    streams = validation[: len(validation) // 16 * 16].reshape(16, -1)  # read with the state carried through each

    @tf.function
    def nll() -> tf.Tensor:
        logits = model(streams[:, :-1], training=False)
        return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(streams[:, 1:], logits))

    return Learner(lambda ids: model.train_on_batch(ids[:, :-1], ids[:, 1:]), lambda epoch: data, lambda: float(nll()))


def nmt_attention(data_dir: Path | None) -> dict[str, Learner]:
    """Return the example and the notebook of 2018: nats per token of the validation sentences."""
    from examples.nmt_attention import train as here
    from examples.nmt_attention.config import PRESETS
    from examples.nmt_attention.data import EncodedPairs, load_corpus

    config = PRESETS["quick"]
    corpus = load_corpus(config.data, **config.corpus(), data_dir=data_dir)
    tokenizers = corpus.source_tokenizer, corpus.target_tokenizer
    sizes = tuple(map(len, tokenizers))
    pairs, validation = (EncodedPairs(part, *tokenizers) for part in (corpus.train, corpus.validation))
    trainer.set_seed_and_precision(config.seed, fast_precision().name)
    model = here.build_model(config, *sizes)
    batches = partial(pairs.batches, config.batch_size, config.seed)
    mine = of_example(here, config, model, batches, validation.batches(config.batch_size, seed=0, epoch=0))
    is_short = (pairs.lengths <= 20).all(axis=1)  # nearly all; the notebook has the 30,000 shortest
    short = EncodedPairs([pair for pair, keep in zip(corpus.train, is_short, strict=True) if keep], *tokenizers)
    return {HERE: mine, "notebook of 2018": translator_2018(short, validation, sizes)}


def translator_2018(pairs, validation, sizes: tuple[int, int]) -> Learner:
    """Return the notebook's model, trained on batches padded to the longest of all sentences."""
    trainer.set_seed_and_precision(1, "float32")
    model = Translator2018(*sizes)
    model.compile(keras.optimizers.Adam())
    first = next(iter(padded_batches(pairs)))
    model.train_step(tuple(side[:, :2] for side in first))  # creates all variables
    step, losses = tf.function(model.train_step), tf.function(model.losses, reduce_retracing=True)
    held_out = padded_batches(validation)

    return Learner(
        lambda batch: float(step(batch)["loss"]),
        lambda epoch: padded_batches(pairs, epoch),
        lambda: mean_nll(losses, held_out),
    )


def dcgan(data_dir: Path | None) -> dict[str, Learner]:
    """Return the example and the public tutorial: the Frechet distance of 10,000 images to the test images."""
    from examples.dcgan.config import PRESETS
    from examples.dcgan.data import load_images, training_batches
    from examples.dcgan.train import build_model

    config = PRESETS["quick"]
    images = load_images("mnist", data_dir=data_dir)
    classifier = load_or_train_classifier(images)

    def learner(model: keras.Model, batch_size: int) -> Learner:
        batches = partial(training_batches, images.train, batch_size, 1)

        def measure() -> float:
            generated = ImageGenerator(model).sample(MAX_SAMPLES, EVALUATION_SEED)
            return measure_classes(generated, images, classifier, None)[0]["frechet_distance"]

        return Learner(compiled(model.train_step, batches(0)), batches, measure)

    trainer.set_seed_and_precision(config.seed, fast_precision().name)
    mine = learner(build_model(config, images), config.batch_size)
    trainer.set_seed_and_precision(1, "float32")
    return {HERE: mine, "public tutorial": learner(PlainDCGAN(), BATCH_SIZE)}


def image_captioning(data_dir: Path | None, features_dir: Path | None, encoder_weights: str) -> dict[str, Learner]:
    """Return the example and the notebook of 2018, on the same features: nats per word of the dev captions."""
    from examples.image_captioning import train as here
    from examples.image_captioning.config import PRESETS

    config = replace(PRESETS["quick"], data_dir=data_dir, features_dir=features_dir, encoder_weights=encoder_weights)
    data = here.load_data(config)
    trainer.set_seed_and_precision(config.seed, fast_precision().name)
    train, validation = (
        CaptionBatches(photos, data.vocabulary, config.batch_size, config.max_length)
        for photos in (data.train, data.validation)
    )
    model = here.build_model(config, len(data.vocabulary), data.extractor)
    batches, held_out = partial(train, config.seed), validation(config.seed, 0)
    mine = of_example(here, config, model, batches, held_out)
    other = captioner_2018(batches, held_out, len(data.vocabulary), data.extractor.grids, config.max_length + 2)
    return {HERE: mine, "notebook of 2018": other}


def captioner_2018(batches, held_out: tf.data.Dataset, words: int, grids: tuple, length: int) -> Learner:
    """Return the notebook's model on the features of the last layer, with captions padded to the longest."""
    (location_cells, location_channels), (cells, channels) = grids

    def published(source, inputs, targets, _mask) -> tuple[tf.Tensor, tf.Tensor]:
        features = tf.cast(source[:, location_cells * location_channels :], tf.float32)
        ids = tf.concat([inputs, targets[:, -1:]], axis=1)  # B T+1
        ids = tf.pad(ids, [[0, 0], [0, length - tf.shape(ids)[1]]])  # 0 is padding
        return tf.reshape(features, [-1, cells, channels]), tf.ensure_shape(ids, [None, length])

    trainer.set_seed_and_precision(1, "float32")
    model = Captioner2018(words)
    model.compile(keras.optimizers.Adam())
    first = next(iter(batches(0).map(published)))
    model.train_step((first[0], first[1][:, :2]))  # creates all variables
    step, losses = (
        tf.function(model.train_step, reduce_retracing=True),
        tf.function(model.losses, reduce_retracing=True),
    )

    return Learner(
        lambda batch: float(step(batch)["loss"]),
        lambda epoch: batches(epoch).map(published),
        lambda: mean_nll(losses, held_out.map(published)),
    )
