"""Steps 1 and 2: load sentence pairs, split and encode them, and batch them by length.

The data are pairs of sentences, one the translation of the other, without word alignment. This module does the first
two of the five steps: **download** the pairs and **preprocess** them into `tf.data` batches.

Shapes: B pairs in a batch, S tokens of the longest source, T tokens of the longest target.
"""

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
from examples.nmt_attention.download.parallel_corpus import Pair, clean_pairs, split_pairs
from examples.nmt_attention.download.toy_grammar import tiny_pairs
from examples.nmt_attention.preprocess.tokenizer import END, PAD, WordTokenizer, tokenise

# Step 1: download. 118,964 sentence pairs that volunteers of Tatoeba wrote, in the selection of manythings.org. The
# archive has changed over the years, so the checksum is that of the text inside.
SPA_ENG = Resource(
    path="spa-eng.zip",
    url="https://storage.googleapis.com/download.tensorflow.org/data/spa-eng.zip",
    size=2_638_744,
    members={"spa-eng/spa.txt": "6ec60e212f812ee3430f7568ea6f33b6fb080e32193c5952e8da0ee8ba45574c"},
    licence="CC BY 2.0, Tatoeba / manythings.org",
)


def load_rows(name: str, data_dir: Path | None = None) -> tuple[str, list[list[str]]]:
    """Return the word for a row in messages, and the rows of the data set `name`, each a list of columns.

    Args:
        name: "spa-eng" (English, Spanish), "tiny" (likewise, from a grammar), "tfds:NAME" for a translation set of
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


# Step 2: preprocess. The pairs are cleaned and split ([parallel_corpus.py](download/parallel_corpus.py)), and cut into
# tokens. Two vocabularies of the training pairs map tokens to ids ([tokenizer.py](preprocess/tokenizer.py)).
@dataclass(frozen=True)
class Corpus:
    """Sentence pairs in three parts, the tokenizers built from the first, and a fingerprint of the pairs."""

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
    """Load the pairs called `name`, clean and split them, and build the tokenizers.

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


# In a batch all sentences are padded to the longest. If the sentences were drawn at random, half of the computation
# would be padding. So a batch holds sentences of similar length, and the batches come in random order. They depend on
# the seed and the epoch alone, so a resumed run gets the same batches as one without interruption.
class EncodedPairs:
    """Sentence pairs as ids."""

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
