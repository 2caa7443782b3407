# %% [markdown]
# # Image captioning: the data
#
# A captioner learns from photos that people have described, each photo several times over: no two people say the same.
# This module does the first two of the five steps: **download** photos and captions, and **preprocess** both: captions
# into ids, photos into a grid of features, in batches of captions of like lengths.
#
# Letters in shape comments: B captions side by side (the batch), T words of a caption (time), L cells of the grid
# (locations), C channels of its features, V vocabulary.

# %%
"""Steps 1 and 2: from the name of a data set to batches of features and captions."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from common.data.batching import batches_of, length_buckets
from common.data.text_files import normalise
from common.data.vocabulary import Vocabulary
from common.errors import UserError

# %% tags=["module"]
from examples.image_captioning.encoder import Encoder
from examples.image_captioning.features import FeatureStore, extract_features
from examples.image_captioning.folder import load_folder
from examples.image_captioning.photos import LeftOut, Photo, Split, survey
from examples.image_captioning.published import derived_dir, load_coco, load_flickr8k
from examples.image_captioning.scenes import make_scenes

# %% [markdown]
# ## Step 1: download
#
# Flickr8k (8,000 photos) and MS-COCO (as many photos as you want) are the published sets; a folder of your own photos
# works as well, and `tiny` draws its scenes itself.

# %%
TINY_SCENES: dict[Split, int] = {"train": 3000, "validation": 300, "test": 300}


def load_photos(name: str, images: int = 1000, data_dir: Path | None = None) -> list[Photo]:
    """Return the photos of the data set called `name` that are there, and print what is left out.

    Args:
        name: "flickr8k", "coco", "coco-val2017", "tiny", or the path of a folder with captions.json or captions.tsv.
        images: how many photos of COCO.
        data_dir: the download cache; None for the default one.

    Raises:
        UserError: an unknown name, a failed download, or more than one photo in a hundred that cannot be used.
    """
    left_out = LeftOut()
    if name == "tiny":
        photos = [
            Photo(f"{split} scene {number}", scene.captions, split, scene)
            for seed, (split, count) in enumerate(TINY_SCENES.items())
            for number, scene in enumerate(make_scenes(count, seed, held_out=split != "train"))
        ]
    elif name == "flickr8k":
        photos = load_flickr8k(data_dir)
    elif name in ("coco", "coco-val2017"):
        photos = load_coco(images, data_dir, only_val=name != "coco")
    elif Path(name).exists():
        photos = load_folder(Path(name), left_out)
    else:
        raise UserError(
            f"--data {name}: no such folder, nor a known data set; known are flickr8k, coco, coco-val2017, tiny, and "
            "the path of a folder with photos and a captions.json or captions.tsv"
        )
    total = len(photos) + len(left_out.reasons)
    photos = survey(photos, left_out)
    left_out.report(total, "photos")
    return photos


# %% [markdown]
# ## Step 2: preprocess
#
# **Captions** become words: lower case, punctuation stripped from both ends of each word. Words seen fewer than five
# times become `<unk>`: nobody can learn a word from one photo. A caption starts with `<start>`, so that there is
# something to predict the first word from, and ends with `<end>`, so that the model learns when to stop.

# %%
SPECIAL = ("<pad>", "<start>", "<end>", "<unk>")
PAD, START, END, UNKNOWN = range(4)


def tokenise(caption: str) -> list[str]:
    """Return the words of a caption, lower-case, without punctuation at their ends; what is nothing else is dropped."""
    words = (re.sub(r"^[\W_]+|[\W_]+$", "", word) for word in normalise(caption).lower().split())
    return [word for word in words if word]


def build_vocabulary(captions: Iterable[Sequence[str]], least_count: int) -> Vocabulary:
    """Return the special symbols and all words that stand at least so often in the tokenised `captions`."""
    counts = Counter(word for caption in captions for word in caption)
    words = sorted(word for word, count in counts.items() if count >= least_count)
    if not words:
        raise UserError(
            f"no word stands {least_count} times in the captions; use more captions or a smaller --word-count"
        )
    return Vocabulary([*SPECIAL, *words])


def encode_caption(vocabulary: Vocabulary, words: Sequence[str], most_words: int) -> np.ndarray:
    """Return <start>, the words, cut at `most_words`, and <end>, as int32 ids; unknown words become <unk>."""
    return vocabulary.encode([SPECIAL[START], *words[:most_words], SPECIAL[END]], unknown=UNKNOWN)


def decode_caption(vocabulary: Vocabulary, ids: Iterable[int]) -> list[str]:
    """Return the words before the first <end>."""
    ids = list(ids)
    return vocabulary.decode(ids[: ids.index(END)] if END in ids else ids)


# %% [markdown]
# **Photos** become features, see `encoder.py` and `features.py`. All captions of a photo are used, each an example of
# its own; captions of like lengths share a batch, so that hardly anything is padded.


# %%
@dataclass(frozen=True)
class PhotoSet:
    """The photos of one split that could be decoded, with what is kept of each."""

    photos: Sequence[Photo]
    rows: np.ndarray
    """int64 [photos], the row of each in the store"""
    store: FeatureStore

    def __len__(self) -> int:
        """Return the number of photos."""
        return len(self.photos)

    def read(self, photos: np.ndarray) -> np.ndarray:
        """Return what is kept of the photos of these numbers: float16 [B, L C + M D], or pixels uint8 [B, S, S, 3]."""
        return self.store.read(self.rows[photos])

    def captions(self) -> list[list[list[str]]]:
        """Return the tokenised captions of each photo."""
        return [[tokenise(caption) for caption in photo.captions] for photo in self.photos]


def load_split(photos: Sequence[Photo], split: Split, encoder: Encoder, features_dir: Path | None) -> PhotoSet:
    """Compute, or find, what is kept of the photos of a split.

    Raises:
        UserError: there are none, or more than one in a hundred cannot be decoded.
    """
    photos = [photo for photo in photos if photo.split == split]
    if not photos:
        raise UserError(f"no photo for {split}; use more photos, or say in captions.json which are for {split}")
    left_out = LeftOut()
    store, rows = extract_features(photos, encoder, features_dir or derived_dir() / "features", left_out)
    left_out.report(len(photos), f"photos for {split}")
    return PhotoSet([photos[row] for row in rows], np.array(rows), store)


def data_fingerprint(photos: Sequence[Photo], encoder: Encoder) -> dict[str, Any]:
    """Return what identifies photos, captions and the encoder, as JSON values."""
    content = json.dumps([[photo.name, photo.split, photo.digest, *photo.captions] for photo in photos])
    counts = Counter(photo.split for photo in photos)
    return {"photos": dict(counts), "sha256": hashlib.sha256(content.encode()).hexdigest(), "encoder": encoder.key}


class CaptionBatches:
    """Batches of (photo, caption) pairs, of captions of like lengths."""

    def __init__(self, photos: PhotoSet, vocabulary: Vocabulary, batch_size: int, most_words: int):
        """Encode all captions; the features stay on disk."""
        encoded = [
            (number, encode_caption(vocabulary, words, most_words))
            for number, captions in enumerate(photos.captions())
            for words in captions
            if words
        ]
        self.photos, self.batch_size = photos, batch_size
        self.lengths = np.array([len(ids) - 1 for _, ids in encoded])  # words and <end>
        self._numbers = tf.constant([number for number, _ in encoded], tf.int64)
        ids = np.full((len(encoded), int(self.lengths.max()) + 1), PAD, np.int32)
        for row, (_, caption) in zip(ids, encoded, strict=True):
            row[: len(caption)] = caption
        self._ids = tf.constant(ids)

    def __call__(self, seed: int, epoch: int) -> tf.data.Dataset:
        """Return one epoch in the order that `seed` and `epoch` decide.

        Returns:
            Batches (source float16 [B, L C + M D] or uint8 [B, S, S, 3], inputs int32 [B, T], targets int32 [B, T],
            mask bool [B, T]): inputs are <start> and the words, targets the words and <end>; the mask is False on
            padding.
        """
        return batches_of(length_buckets(self.lengths, self.batch_size, seed, epoch), self._make_batch)

    def _make_batch(self, examples: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
        longest = tf.reduce_max(tf.gather(tf.constant(self.lengths), examples)) + 1
        ids = tf.gather(self._ids, examples)[:, :longest]  # B T+1
        source = tf.numpy_function(self.photos.read, [tf.gather(self._numbers, examples)], self.photos.store.dtype)
        source.set_shape([None, *self.photos.store.shape])
        return source, ids[:, :-1], ids[:, 1:], ids[:, 1:] != PAD
