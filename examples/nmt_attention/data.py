# %% [markdown]
# # Translation: the data
#
# Pairs of sentences, one the translation of the other, are all that the model is given: nobody tells it which word
# stands for which. This module does the first two of the five steps: **download** the pairs and **preprocess** them
# into `tf.data` batches.
#
# Letters in shape comments: B pairs in a batch, S tokens of the longest source, T tokens of the longest target.

# %%
"""Steps 1 and 2: sentence pairs, split so that nothing leaks, numbered, and batched by length."""

import hashlib
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from common.data.batching import batches_of, length_buckets
from common.data.download import Resource, fetch
from common.data.text_files import normalise, read_text
from common.data.tfds import load
from common.errors import UserError

# %% tags=["module"]
from examples.nmt_attention.grammar import tiny_pairs
from examples.nmt_attention.pairs import Pair, clean_pairs, split_pairs
from examples.nmt_attention.tokenizer import END, PAD, WordTokenizer, tokenise

# %% [markdown]
# ## Step 1: download
#
# 118,964 sentence pairs that volunteers of Tatoeba wrote, in the selection of manythings.org. The container has changed
# over the years, so what is checked is the text inside; it is read from the archive as it is.

# %%
SPA_ENG = Resource(
    path="spa-eng.zip",
    url="https://storage.googleapis.com/download.tensorflow.org/data/spa-eng.zip",
    size=2_638_744,
    members={"spa-eng/spa.txt": "6ec60e212f812ee3430f7568ea6f33b6fb080e32193c5952e8da0ee8ba45574c"},
    licence="CC BY 2.0, Tatoeba / manythings.org",
)


def load_rows(name: str, data_dir: Path | None = None) -> tuple[str, list[list[str]]]:
    """Return the rows of the data set called `name`, each a list of columns, and what to call their place in messages.

    Args:
        name: "spa-eng" (English, Spanish), "tiny" (likewise, made by a grammar), "tfds:NAME" for a translation set of
            tensorflow-datasets (target, source), or the path of a UTF-8 file with a tab between the columns.
        data_dir: the download cache; None for the default one.

    Raises:
        UserError: an unknown name, a missing or empty file, bytes that are not UTF-8, or a failed download.
    """
    if name == "tiny":
        return "sentence", [[english, spanish] for spanish, english, _ in tiny_pairs()]
    if name == "spa-eng":
        with zipfile.ZipFile(fetch(SPA_ENG, data_dir)) as archive:
            return "line", _rows(normalise(archive.read("spa-eng/spa.txt").decode("utf-8")))
    if name.startswith("tfds:"):
        return "example", _load_from_tfds(name.removeprefix("tfds:"), data_dir)
    if Path(name).is_file():
        return "line", _rows(read_text(Path(name)))
    raise UserError(
        f"--data {name}: no such file, nor a known data set; known are spa-eng, tiny, tfds:NAME of a translation set, "
        "and the path of a UTF-8 file with a tab between the columns"
    )


def _rows(text: str) -> list[list[str]]:
    return [line.split("\t") for line in text.removesuffix("\n").split("\n")]


def _load_from_tfds(name: str, data_dir: Path | None) -> list[list[str]]:
    """Return the rows of all splits, which are split anew here; the target column comes first."""
    splits, info = load(name, data_dir)
    keys = info.supervised_keys
    if not keys or any(split.element_spec[key].dtype != tf.string for split in splits.values() for key in keys[:2]):
        raise UserError(f"--data tfds:{name}: expected pairs of texts, got {info.features}; name a translation set")
    examples = [example for split in splits.values() for example in split.as_numpy_iterator()]
    return [[example[key].decode("utf-8") for key in (keys[1], keys[0])] for example in examples]


# %% [markdown]
# ## Step 2: preprocess
#
# The pairs are cleaned and split (see [pairs.py](pairs.py)), cut into tokens, and numbered by two vocabularies made of
# the training part alone ([tokenizer.py](tokenizer.py)).


# %%
@dataclass(frozen=True)
class Corpus:
    """Sentence pairs in three parts, the vocabularies of the first, and what identifies them."""

    train: list[Pair]
    validation: list[Pair]
    test: list[Pair]
    source_tokenizer: WordTokenizer
    target_tokenizer: WordTokenizer
    fingerprint: dict[str, Any]


def load_corpus(
    name: str,
    columns: tuple[int, int] = (2, 1),
    held_out: float = 0.02,
    max_tokens: int = 60,
    min_count: int = 2,
    data_dir: Path | None = None,
) -> Corpus:
    """Load the pairs called `name`, clean and split them, and collect the vocabularies.

    Args:
        name: see `load_rows`; likewise `data_dir`.
        columns: which column, from 1, is the source, and which the target.
        held_out: see `split_pairs`.
        max_tokens: see `clean_pairs`.
        min_count: tokens rarer than this in training are unknown.
        data_dir: the download cache.

    Raises:
        UserError: as `load_rows` and `clean_pairs`; or a part of the split is empty.
    """
    place, rows = load_rows(name, data_dir)
    pairs = clean_pairs(rows, columns, max_tokens, f"--data {name}", place)
    train, validation, test = split_pairs(pairs, held_out)
    if not (train and validation and test):
        raise UserError(
            f"--data {name}: {len(pairs)} pairs are too few to hold out {held_out:.0%} twice (training "
            f"{len(train)}, validation {len(validation)}, test {len(test)}); use more pairs or a larger --held-out"
        )
    source_tokenizer, target_tokenizer = (
        WordTokenizer.build([pair[side] for pair in train], min_count) for side in range(2)
    )
    digest = hashlib.sha256("\n".join("\t".join(pair) for pair in pairs).encode()).hexdigest()
    fingerprint = {"pairs": len(pairs), "sha256": digest}
    return Corpus(train, validation, test, source_tokenizer, target_tokenizer, fingerprint)


# %% [markdown]
# ### Batches of like length
#
# In a batch all sentences are padded to the longest. With sentences drawn at random, half of what is computed is
# padding. So sentences of like length come together, and the batches come in random order. Which sentences meet and
# when depends on nothing but the seed and the epoch: that is what lets a resumed run find exactly the batches that it
# would have seen without the interruption.


# %%
class EncodedPairs:
    """Sentence pairs as ids, ready to be batched."""

    def __init__(self, pairs: list[Pair], source_tokenizer: WordTokenizer, target_tokenizer: WordTokenizer):
        """Encode `pairs`; each target gets END as its last token."""
        sources, targets = (
            [tokenizer.encode(tokenizer.truecase(tokenise(pair[side]))) for pair in pairs]
            for side, tokenizer in enumerate((source_tokenizer, target_tokenizer))
        )
        targets = [np.append(ids, np.int32(END)) for ids in targets]
        self.sources, self.targets = (
            tf.RaggedTensor.from_row_lengths(np.concatenate(ids), [*map(len, ids)]) for ids in (sources, targets)
        )
        self.lengths = np.array([(len(source), len(target)) for source, target in zip(sources, targets, strict=True)])

    def batches(self, batch_size: int, seed: int, epoch: int) -> tf.data.Dataset:
        """Return one epoch of batches (source int32 [B, S], target int32 [B, T]), padded on the right with PAD."""

        def make_batch(indices: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return tuple(tf.gather(side, indices).to_tensor(PAD) for side in (self.sources, self.targets))

        return batches_of(length_buckets(self.lengths, batch_size, seed, epoch), make_batch)
