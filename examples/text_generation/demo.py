"""Step 5: continue prompts with the trained model, and show how it learned to.

A trained model is a machine that, given some text, says how likely each next character is. Draw one, append it, ask
again: the model writes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from common.data.pieces import PieceVocabulary
from common.data.text_files import normalise, read_text
from common.data.vocabulary import Vocabulary
from common.errors import UserError
from common.io.files import write_atomically
from common.nn.sampling import State, sample_sequence, uniform_noise
from common.training import trainer
from common.training.checkpoints import restore_weights
from common.training.run_directory import RunDirectory
from common.training.samples import SampleCallback, read_samples, sample_path
from common.viz import figures
from examples.text_generation.config import MAX_LENGTH, Config
from examples.text_generation.data import VALIDATION_STREAMS
from examples.text_generation.model import CharRNN, TrainableCharRNN

# Step 5: write. **Temperature** divides the logits before they become probabilities: below 1 the likely gets likelier,
# and the text repeats itself; above 1 it is more random. **Top-k** and **top-p** cut off the long tail of characters
# that are each unlikely, but together would be drawn every few words.
#
# The whole loop is compiled: the next character is drawn and read in the graph, and Python only sees the result. To
# write one text means to multiply a matrix by a vector for each character, which XLA does best; many texts at once
# multiply matrices, which TensorFlow's own kernels do best.
MAX_CHUNK = 1024
"""Tokens that a call of the compiled loop writes at most; XLA must know it."""


@dataclass(frozen=True)
class Sampling:
    """How the next character is chosen; `GenerateOptions` in config.py has the same as flags."""

    temperature: float = 0.8
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 1

    def tensors(self) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Return the scalar tensors temperature (float32), top_k (int32) and top_p (float32)."""
        return tf.constant(self.temperature, tf.float32), tf.constant(self.top_k), tf.constant(self.top_p, tf.float32)


class DecodingState(NamedTuple):
    """What the model needs to go on after a text: the logits of the next character and the recurrent state."""

    logits: tf.Tensor
    """float32 [B, V]"""
    state: State


def build_model(
    config: Config, vocabulary_size: int, model_class: type[TrainableCharRNN] = TrainableCharRNN
) -> TrainableCharRNN:
    """Return the untrained model of `config` with all its variables."""
    streams = config.batch_size, VALIDATION_STREAMS
    return model_class(vocabulary_size, *streams, **config.architecture()).build_weights()


class TextGenerator:
    """Continues text with a trained model."""

    def __init__(self, model: CharRNN, vocabulary: Vocabulary):
        self.model, self.vocabulary = model, vocabulary
        self._compiled_prefill = tf.function(self._prefill, reduce_retracing=True)
        self._compiled_logits = tf.function(self._logits, reduce_retracing=True)
        self._write_one = tf.function(self._write, jit_compile=True)
        self._write_many = tf.function(self._write, reduce_retracing=True)

    @classmethod
    def load(cls, run: RunDirectory, model_class: type[CharRNN] = CharRNN) -> "TextGenerator":
        """Restore the best weights of a run into a new `model_class`; the run directory alone is enough.

        Raises:
            UserError: the run has no checkpoint yet, or it is damaged.
        """
        config = Config.from_settings(run.read_config().settings)
        trainer.set_seed_and_precision(config.seed, config.precision)
        vocabulary = PieceVocabulary.load(run.vocabulary)
        model = model_class(len(vocabulary), **config.architecture()).build_weights()
        restore_weights(run.checkpoints, model)
        return cls(model, vocabulary)

    def embeddings(self) -> dict[str, tuple[list[str], np.ndarray]]:
        """Return {"characters": (symbols, vectors float32 [V, E])}; symbols may be words or subwords."""
        return {"characters": (self.vocabulary.symbols, self.model.embedding.embeddings.numpy())}

    def generate(self, prompt: str, length: int, sampling: Sampling, samples: int = 1) -> list[str]:
        """Return `samples` continuations of `prompt`, each of `length` tokens, without the prompt.

        Raises:
            UserError: the prompt has characters that are not in the vocabulary, or none at all.
        """
        chunks = self.stream(prompt, length, sampling, samples, MAX_CHUNK)
        return ["".join(text) for text in zip(*chunks, strict=True)]

    def stream(
        self, prompt: str, length: int, sampling: Sampling, samples: int = 1, chunk: int = 32
    ) -> Iterator[list[str]]:
        """Yield the same continuations `chunk` tokens at a time, up to `MAX_CHUNK`, as soon as they are made.

        Raises:
            UserError: the prompt has characters that are not in the vocabulary, or none at all.
        """
        logits, state = self.prefill(prompt, samples)
        uniforms = uniform_noise(sampling.seed, samples, length + MAX_CHUNK)  # T B
        for start in range(0, length, chunk):
            count = min(chunk, length - start)
            write, room = (self._write_one, MAX_CHUNK) if samples == 1 else (self._write_many, count)
            noise = uniforms[start : start + room]
            ids, logits, state = write(logits, state, noise, tf.constant(count), *sampling.tensors())
            yield ["".join(self.vocabulary.decode(row)) for row in ids.numpy()[:, :count]]

    def prefill(self, prompt: str, samples: int = 1) -> DecodingState:
        """Return the decoding state after `prompt`, repeated in `samples` rows.

        Raises:
            UserError: the prompt has characters that are not in the vocabulary, or none at all.
        """
        ids = tf.constant(self.vocabulary.encode(normalise(prompt))[None])  # 1 T
        return self._compiled_prefill(ids, tf.constant(samples))

    def logits(self, ids: np.ndarray) -> tf.Tensor:
        """Return the logits of the next token after each of `ids`, int32 [1, T]: float32 [1, T, V]."""
        return self._compiled_logits(tf.constant(ids))

    def generate_batch(
        self, texts: Sequence[DecodingState], uniforms: tf.Tensor, sampling: Sampling
    ) -> list[tuple[list[str], DecodingState]]:
        """Return the next T tokens of several texts, each with the decoding state after them.

        In float32 each row gets the tokens that it would get alone. In bfloat16, rounding may choose another one.

        Args:
            texts: one row each.
            uniforms: the random numbers of each text, float32 [T, texts].
            sampling: of all of them; its seed is not used.
        """
        logits, state = tf.nest.map_structure(lambda *rows: tf.concat(rows, axis=0), *texts)
        length = tf.constant(len(uniforms))
        ids, logits, state = self._write_many(logits, state, uniforms, length, *sampling.tensors())
        after = DecodingState(logits, state)
        rows = [tf.nest.map_structure(lambda x, i=i: x[i : i + 1], after) for i in range(len(texts))]
        return list(zip(map(self.vocabulary.decode, ids.numpy()), rows, strict=True))

    def _logits(self, ids: tf.Tensor) -> tf.Tensor:
        return self.model(ids, self.model.initial_state(1))[0]  # 1 T V

    def _prefill(self, ids: tf.Tensor, samples: tf.Tensor) -> DecodingState:
        logits, state = self.model(ids, self.model.initial_state(1))  # 1 T V, state 1 U
        after = DecodingState(logits[:, -1], state)
        return tf.nest.map_structure(lambda x: tf.repeat(x, samples, axis=0), after)  # B V, B U

    def _write(self, logits, state, uniforms, length, temperature, top_k, top_p):
        decode_step = self.model.make_decode_step()
        return sample_sequence(decode_step, logits, state, uniforms, length, temperature, top_k, top_p)


def read_prompt_file(path: Path, encoding: str | None, symbols: Sequence[str]) -> str:
    """Return the text of a file to continue; a line end at its end only if it is one of the `symbols` of the model.

    Raises:
        UserError: it is no text file of this encoding, or longer than `MAX_LENGTH`.
    """
    if path.is_dir():
        raise UserError(f"--prompt-file {path}: expected a file, got a folder")
    prompt = read_text(path, encoding)
    if len(prompt) > MAX_LENGTH:
        raise UserError(f"--prompt-file {path}: {len(prompt):,} characters, more than {MAX_LENGTH:,}; use its end only")
    return prompt if "\n" in symbols else prompt.removesuffix("\n")  # which editors write


# Before training and after every epoch the same prompt is continued with the same random numbers. Side by side, or as a
# GIF, one sees spelling come first, then words, then speakers and verse.
class WriteSamples(SampleCallback):
    """Writes continuations of a prompt to `samples/epoch_0000.txt` (untrained), `epoch_0001.txt` and so on."""

    def __init__(self, run: RunDirectory, generator: TextGenerator, prompt: str, length: int):
        super().__init__(run)
        self.generator, self.prompt, self.length = generator, prompt, length

    def write(self, epoch: int, logs: dict[str, float]) -> None:
        """Write the continuation after `epoch` epochs."""
        [continuation] = self.generator.generate(self.prompt, self.length, Sampling())
        write_atomically(sample_path(self.run, epoch), self.prompt + continuation + "\n")


def draw_training_gif(run: RunDirectory, config: Config) -> None:
    """Draw the samples of all epochs, continuations of the prompt of `config`, as `figures/training.gif`."""
    frames = figures.text_frames(read_samples(run, config.loss_unit), len(config.prompt))
    figures.save_gif(frames, run.figures / "training.gif")
