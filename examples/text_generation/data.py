"""Steps 1 and 2: a text of any source as ids, and batches of windows of contiguous streams.

A character-level language model is trained on text alone. The target at each position is the next character. This
module does the first two of the five steps: **download** the text and **preprocess** it into `tf.data` batches.

Letters in shape comments: B streams side by side (the batch), T characters in a window (time), V vocabulary.
"""

import hashlib
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from common.data.download import Resource, fetch
from common.data.pieces import PieceVocabulary, build_pieces
from common.data.text_files import normalise, read_text
from common.data.tfds import load_splits, only_test_split
from common.errors import UserError

# Step 1: download. Tiny Shakespeare is about one megabyte of plays. The checksum ensures that all runs use the same
# bytes, so that results can be compared. A file in the cache is used without a connection.
SHAKESPEARE = Resource(
    path="shakespeare.txt",
    url="https://storage.googleapis.com/download.tensorflow.org/data/shakespeare.txt",
    size=1_115_394,
    sha256="86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
    licence="public domain",
)
TINY_PLAY = Path(files("examples.text_generation") / "tiny_play.txt")
VALIDATION_STREAMS = 16  # few, because each starts from a zero state; one alone would be slow


def load_text(name: str, data_dir: Path | None = None, encoding: str | None = None, only_test: bool = False) -> str:
    """Return the text called `name`; the arguments are as in `Config`.

    With `only_test`, of a data set of tensorflow-datasets only the test split is taken, if it has one.

    Raises:
        UserError: the name is unknown, the file is missing, empty or of another encoding, or the download failed.
    """
    if name == "tiny":
        return read_text(TINY_PLAY)
    if name == "shakespeare":
        return read_text(fetch(SHAKESPEARE, data_dir))
    if name.startswith("tfds:"):
        return _load_from_tfds(name.removeprefix("tfds:"), data_dir, only_test)
    if Path(name).exists():
        return read_text(Path(name), encoding)
    raise UserError(
        f"{name}: no such file or folder, nor a known data set; known are shakespeare, tiny, "
        "tfds:tiny_shakespeare (or another tfds:NAME with text), and the path of a text file or a folder of .txt"
    )


def _load_from_tfds(name: str, data_dir: Path | None, only_test: bool) -> str:
    """Return the texts of all splits, joined in the order train, validation, test, as in the original file."""
    splits = load_splits(name, data_dir, feature="text")
    splits = only_test_split(splits) if only_test else splits
    texts = [example["text"].decode("utf-8") for split in splits.values() for example in split.as_numpy_iterator()]
    one_text_cut_up = len(texts) == len(splits)  # as in tiny_shakespeare: one example a split
    return normalise(("" if one_text_cut_up else "\n").join(texts))


# Step 2: preprocess. Every distinct character gets an id, and with `--tokens` every frequent word or subword. The first
# 90 % of the characters are for training, the last 10 % for validation; there is no test part. The split is by
# position, so no passage of the validation text is trained on. If overlapping windows were shuffled into two splits,
# nearly all validation characters would leak into the training text.


@dataclass(frozen=True)
class Corpus:
    """The ids of a text, split for training and validation, and its vocabulary."""

    vocabulary: PieceVocabulary
    train: np.ndarray
    """int32 [tokens]"""
    validation: np.ndarray
    """int32 [tokens]"""
    fingerprint: dict[str, Any]
    """Length and checksum of the text."""
    prompt: str
    """The default prompt of the samples."""


def load_corpus(
    name: str,
    window: int,
    data_dir: Path | None = None,
    encoding: str | None = None,
    tokens: str = "characters",
    vocabulary_size: int = 4000,
) -> Corpus:
    """Return the ids of the text called `name`, split for training and validation; the arguments are as in `Config`.

    Raises:
        UserError: as `load_text`; or the training part has fewer than `window` + 1 tokens, or the validation part fewer
            than 2.
    """
    text = load_text(name, data_dir, encoding)
    split = int(0.9 * len(text))
    vocabulary = build_pieces(text, split, tokens, vocabulary_size)
    train, validation = vocabulary.encode(text[:split]), vocabulary.encode(text[split:])
    if len(train) < window + 1 or len(validation) < 2:
        raise UserError(
            f"--data {name}: {len(text)} characters are too few: the first 90 % must have more than {window} {tokens}, "
            f"the last 10 % at least 2; use a longer text or a smaller --window"
        )
    fingerprint = {"characters": len(text), "sha256": hashlib.sha256(text.encode()).hexdigest()}
    prompt = {"tiny": "MIRA:", "shakespeare": "ROMEO:", "tfds:tiny_shakespeare": "ROMEO:"}.get(name)
    return Corpus(vocabulary, train, validation, fingerprint, prompt or first_words(text[split:]))


def first_words(text: str) -> str:
    """Return the first whole line of more than 8 characters, at most 40 characters of it; else the start of `text`."""
    lines = [line.strip()[:40] for line in text.splitlines()[1:]]  # the first may be cut
    return next((line for line in lines if len(line) > 8), text[:40])


# The state of a recurrent network can carry information over more than one window of T characters. For that, the final
# state of a window must be the initial state of the next one. So the text is cut into B long **streams**. Each batch
# holds the next window of every stream:
#
# ```
#              batch 0      batch 1      batch 2
# stream 0   | First Cit | izen: Bef | ore we pr |     -> each row continues the same row
# stream 1   | , and to  | be taken  | from the  |        of the previous batch
# ```
#
# So these batches must not be shuffled: each window would get the state of an unrelated one.
def contiguous_batches(ids: np.ndarray, streams: int, window: int) -> tf.data.Dataset:
    """Return batches of the windows, T = `window`, of B = `streams` contiguous streams of ids int32 [tokens].

    Every character but the first is a target exactly once; there must be two or more.

    Returns:
        Batches (inputs int32 [B, T], targets int32 [B, T], mask bool [B, T], is_start bool []). The mask is False where
        a stream has ended; is_start is True for the first batch, whose initial state is zero.
    """
    rows = _shifted(ids, streams * window)
    windows = [row.reshape(streams, -1, window).swapaxes(0, 1) for row in rows]  # each steps B T
    is_start = np.arange(len(windows[0])) == 0
    return tf.data.Dataset.from_tensor_slices((*windows, is_start))


def _shifted(ids: np.ndarray, multiple: int) -> list[np.ndarray]:
    """Return inputs, targets, and the mask, which is False at the padding; their length is a multiple of `multiple`."""
    padding = 0, -(len(ids) - 1) % multiple
    return [np.pad(values, padding) for values in (ids[:-1], ids[1:], np.ones(len(ids) - 1, bool))]


# In every epoch the text starts at another random position and wraps around at its end, so the streams are not always
# cut at the same characters. The position depends only on the seed and the epoch. So a resumed run gets the same
# batches as a run without interruption.
def training_batches(ids: np.ndarray, streams: int, window: int, seed: int, epoch: int) -> tf.data.Dataset:
    """Return one epoch of `contiguous_batches`, from a random position that `seed` and `epoch` determine."""
    start = np.random.default_rng([seed, epoch]).integers(len(ids))
    return contiguous_batches(np.roll(ids, -start), streams, window)


def independent_windows(ids: np.ndarray, streams: int, window: int) -> tf.data.Dataset:
    """Return batches of B windows that each start from a zero state, as in most published results.

    Arguments and batches are as those of `contiguous_batches`, but is_start is always True.
    """
    windows = [row.reshape(-1, streams, window) for row in _shifted(ids, streams * window)]  # each batches B T
    return tf.data.Dataset.from_tensor_slices((*windows, np.ones(len(windows[0]), bool)))
