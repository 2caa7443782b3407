"""Steps 1 and 2: load sentence pairs, split and encode them, and batch them by length.

The data are pairs of sentences, one the translation of the other, without word alignment. This module does the first
two of the five steps: **download** the pairs and **preprocess** them into `tf.data` batches.

Shapes: B pairs in a batch, S tokens of the longest source, T tokens of the longest target.
"""

import hashlib
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from common.data.batching import batches_of, length_buckets
from common.data.download import Resource, fetch
from common.data.scripts import unspaced_language
from common.data.text_files import normalise
from common.data.tfds import load, only_test_split
from common.data.vocabulary import Vocabulary
from common.errors import UserError
from common.io.terminal import warn
from examples.nmt_attention.download.pair_files import Table, choose_columns, read_pairs
from examples.nmt_attention.download.toy_grammar import tiny_pairs
from examples.nmt_attention.preprocess.parallel_corpus import Pair, clean_pairs, component_names, split_pairs
from examples.nmt_attention.preprocess.piece_tokenizer import PieceTokenizer
from examples.nmt_attention.preprocess.tokenizer import END, PAD, UNKNOWN, WordTokenizer

# Step 1: download. 118,964 sentence pairs that volunteers of Tatoeba wrote, in the selection of manythings.org. The
# archive has changed over the years, so the checksum is that of the text inside. Your own pairs are read by
# [pair_files.py](download/pair_files.py).

SPA_ENG = Resource(
    path="spa-eng.zip",
    url="https://storage.googleapis.com/download.tensorflow.org/data/spa-eng.zip",
    size=2_638_744,
    members={"spa-eng/spa.txt": "6ec60e212f812ee3430f7568ea6f33b6fb080e32193c5952e8da0ee8ba45574c"},
    licence="CC BY 2.0, Tatoeba / manythings.org",
)


def load_tables(
    name: str, data_dir: Path | None = None, encoding: str | None = None, only_test: bool = False
) -> dict[str, Table]:
    """Return the tables of the data set `name` by part: "train", "validation", "test", or "all" if it is not split.

    Args:
        name: "spa-eng" (Spanish, English), "tiny" (likewise, from a grammar), "tfds:NAME" for a translation set of
            tensorflow-datasets (source, target), or files as in `read_pairs`.
        data_dir: the download cache; None for the default one.
        encoding: see `read_pairs`.
        only_test: take only the test split of a set of tensorflow-datasets, if it has one.

    Raises:
        UserError: an unknown name, a missing or empty file, another encoding, or a failed download.
    """
    if name == "tiny":
        return {"all": Table([[spanish, english] for spanish, english, _ in tiny_pairs()], place="sentence")}
    if name == "spa-eng":
        with zipfile.ZipFile(fetch(SPA_ENG, data_dir)) as archive:
            lines = normalise(archive.read("spa-eng/spa.txt").decode("utf-8")).removesuffix("\n").split("\n")
        return {"all": Table([line.split("\t")[1::-1] for line in lines])}
    if name.startswith("tfds:"):
        return {"all": Table(_load_from_tfds(name.removeprefix("tfds:"), data_dir, only_test), place="example")}
    if tables := read_pairs(name, encoding):
        return tables
    raise UserError(
        f"{name}: no such file, nor a known data set; known are spa-eng, tiny, tfds:NAME of a translation set, "
        "the path of a .tsv, .csv or .jsonl, two parallel files with a comma between, or a folder with train, dev and "
        "test"
    )


def _load_from_tfds(name: str, data_dir: Path | None, only_test: bool) -> list[list[str]]:
    """Return the rows of all splits, or of that for tests, which are split anew here; the source column comes first."""
    splits, info = load(name, data_dir)
    splits = only_test_split(splits) if only_test else splits
    keys = info.supervised_keys
    if not keys or any(split.element_spec[key].dtype != tf.string for split in splits.values() for key in keys[:2]):
        raise UserError(f"tfds:{name}: expected pairs of texts, got {info.features}; name a translation set")
    examples = [example for split in splits.values() for example in split.as_numpy_iterator()]
    return [[example[key].decode("utf-8") for key in keys[:2]] for example in examples]


# Step 2: preprocess. The pairs are cleaned and split ([parallel_corpus.py](preprocess/parallel_corpus.py)), and cut
# into tokens. Two vocabularies of the training pairs map tokens to ids ([tokenizer.py](preprocess/tokenizer.py) for
# words, [piece_tokenizer.py](preprocess/piece_tokenizer.py) for characters and subwords).


Tokenizer = WordTokenizer | PieceTokenizer
MAX_TEST_TOKENS = 10_000
"""Longer pairs of test data are left out; of the others, the translator reads the first `max_tokens` tokens."""
MAX_UNKNOWN = 0.1
"""Fraction of unknown tokens in the validation pairs above which a line on stderr says what to do."""


@dataclass(frozen=True)
class Corpus:
    """Sentence pairs in three parts, the tokenizers built from the first, and a fingerprint of the pairs."""

    train: list[Pair]
    validation: list[Pair]
    test: list[Pair]
    source_tokenizer: Tokenizer
    target_tokenizer: Tokenizer
    fingerprint: dict[str, Any]
    held_out: float
    min_count: int

    @property
    def tokens(self) -> str:
        """The kinds of the tokens of source and target, as in --tokens."""
        return f"{self.source_tokenizer.kind},{self.target_tokenizer.kind}"


def load_corpus(
    name: str,
    columns: tuple[str, str] = ("1", "2"),
    held_out: float | None = 0.02,
    max_tokens: int = 60,
    min_count: int | None = 3,
    data_dir: Path | None = None,
    tokens: tuple[str, str] | None = None,
    vocabulary_size: int = 4000,
    max_skipped: float = 0.05,
    encoding: str | None = None,
) -> Corpus:
    """Load the pairs called `name`, clean and split them, and build the tokenizers.

    The arguments are explained in `Config`; columns and tokens are those of source and target. None for `held_out` or
    `min_count` chooses one that fits the number of pairs, None for `tokens` chooses by the script.

    Raises:
        UserError: as `load_tables`, `choose_columns` and `clean_pairs`; or a part of the split is empty.
    """
    loaded = load_tables(name, data_dir, encoding)
    if loaded.keys().isdisjoint({"all", "train"}):
        raise UserError(f"--data {name}: expected train.XX and train.YY, such as train.de and train.en, or train.tsv")
    parts, rows = {}, 0
    for part, table in loaded.items():
        where = f"--data {name}" + ("" if part == "all" else f" ({part})")
        table, numbers = choose_columns(table, columns, where)
        tokens = tokens or choose_tokens(table, numbers)
        parts[part] = clean_pairs(table, numbers, max_tokens, where, tokens, max_skipped)
        rows += len(table.rows)
    pairs = [pair for part in parts.values() for pair in part]
    if held_out is None:
        held_out = round(min(0.1, max(0.02, 50 / max(1, len(pairs)))), 3)  # about 50 pairs, for a rough measurement
    if min_count is None:
        min_count = 1 + (len(pairs) >= 5000) + (len(pairs) >= 20_000)
    train, validation, test = three_parts(parts, held_out)
    if not (train and validation and test):
        advice = "" if len(pairs) == rows else "; rows that were too long need a larger --max-tokens"
        raise UserError(
            f"--data {name}: {len(pairs)} pairs, in {len(set(component_names(pairs)))} groups that share no sentence, "
            f"are too few to hold out {held_out:.0%} twice (training {len(train)}, validation {len(validation)}, test "
            f"{len(test)}); use more pairs or a larger --held-out{advice}"
        )
    tokenizers = [
        build_tokenizer([pair[side] for pair in train], kind, min_count, vocabulary_size)
        for side, kind in enumerate(tokens)
    ]
    for side, tokenizer in enumerate(tokenizers):
        warn_of_unknown_tokens(("source", "target")[side], tokenizer, [pair[side] for pair in validation])
    digest = hashlib.sha256("\n".join("\t".join(pair) for pair in pairs).encode()).hexdigest()
    sizes = {} if "all" in parts else {part: len(parts[part]) for part in parts}
    case = {"target_case": "lower"} if tokenizers[1].lower_case else {}  # for `SentenceTranslator.load`
    fingerprint = {"pairs": len(pairs), "sha256": digest} | sizes | case
    return Corpus(train, validation, test, *tokenizers, fingerprint, held_out, min_count)


def load_test_pairs(
    name: str,
    columns: tuple[str, str],
    max_skipped: float = 0.05,
    encoding: str | None = None,
    data_dir: Path | None = None,
) -> list[Pair]:
    """Return all pairs of files of the user, repeated ones too, or of a folder with a part `test` those of that part.

    Raises:
        UserError: as `load_corpus`; or there is no pair.
    """
    tables = load_tables(name, data_dir, encoding, only_test=True)
    where = f"--test-data {name}"
    pairs = []
    for part in [tables["test"]] if "test" in tables else tables.values():
        table, numbers = choose_columns(part, columns, where)
        pairs += clean_pairs(table, numbers, MAX_TEST_TOKENS, where, max_skipped=max_skipped, distinct=False)
    if not pairs:
        raise UserError(f"{where}: no pair of sentences; see docs/own_data.md for the formats")
    return pairs


def three_parts(parts: dict[str, list[Pair]], held_out: float) -> tuple[list[Pair], list[Pair], list[Pair]]:
    """Return training, validation and test pairs: those that the data set has, the others by `split_pairs`."""
    if {"validation", "test"} <= parts.keys():
        return parts["train"], parts["validation"], parts["test"]
    train, validation, test = split_pairs(parts["all"] if "all" in parts else parts["train"], held_out)
    if "validation" in parts:
        return train + validation, parts["validation"], test
    if "test" in parts:
        return train + test, validation, parts["test"]
    return train, validation, test


def choose_tokens(table: Table, columns: tuple[int, int]) -> tuple[str, str]:
    """Return "characters" for a column in a language without spaces between words, with a note, else "words"."""
    kinds = []
    for number in columns:
        language = unspaced_language(row[number - 1] for row in table.rows[:2000] if len(row) >= number)
        if language:
            warn(
                f"note: column {number} is {language}, which has no spaces between words, so its tokens are characters "
                "(--tokens chooses others)"
            )
        kinds.append("characters" if language else "words")
    return kinds[0], kinds[1]


def build_tokenizer(sentences: Sequence[str], kind: str, min_count: int, vocabulary_size: int) -> Tokenizer:
    """Return a tokenizer of the kind "words", "characters" or "subwords" for the training sentences."""
    if kind == "words":
        return WordTokenizer.build(sentences, min_count)
    return PieceTokenizer.build(sentences, min_count, kind, vocabulary_size)


def load_tokenizer(path: Path, kind: str, lower_case: bool = False) -> Tokenizer:
    """Return the tokenizer of a vocabulary file and the kind of its tokens; for `lower_case` see `WordTokenizer`.

    Raises:
        UserError: see `Vocabulary.load`.
    """
    vocabulary = Vocabulary.load(path)
    return WordTokenizer(vocabulary, lower_case) if kind == "words" else PieceTokenizer(vocabulary, kind)


def warn_of_unknown_tokens(side: str, tokenizer: Tokenizer, sentences: Sequence[str]) -> None:
    """Warn if many tokens of `sentences`, which were not trained on, are unknown."""
    ids = np.concatenate([tokenizer.encode(tokenizer.tokenise(sentence)) for sentence in sentences])
    unknown = float(np.mean(ids == UNKNOWN))
    if unknown > MAX_UNKNOWN:
        advice = "--tokens subwords, or more pairs" if tokenizer.kind == "words" else "a smaller --min-count"
        warn(
            f"warning: {unknown:.0%} of the {side} tokens in the validation pairs are unknown to a vocabulary of "
            f"{len(tokenizer):,} {tokenizer.kind}, and the model cannot translate them; use {advice}"
        )


# In a batch all sentences are padded to the longest. If the sentences were drawn at random, half of the computation
# would be padding. So a batch holds sentences of similar length, and the batches come in random order. They depend on
# the seed and the epoch alone, so a resumed run gets the same batches as one without interruption.
class EncodedPairs:
    """Sentence pairs as ids."""

    def __init__(self, pairs: list[Pair], source_tokenizer: Tokenizer, target_tokenizer: Tokenizer):
        """Encode `pairs`; each target gets END as its last token."""
        sources, targets = (
            [tokenizer.encode(tokenizer.tokenise(pair[side])) for pair in pairs]
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
