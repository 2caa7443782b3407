"""Steps 1 and 2: from the name of a data set to batches of features and captions.

A captioner learns from photos with captions, several by different people for each photo. This module does the first
two of the five steps: **download** photos and captions, and **preprocess** both into batches of features and ids.

Letters in shape comments: B captions side by side (the batch), T words of a caption (time), L and M cells of the
location and the content grid, C and D their channels (`feature_grids.py`), S side of an image in pixels.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from common.data.batching import batches_of, length_buckets
from common.data.download import derived_dir
from common.data.skipped import SkippedExamples
from common.data.vocabulary import Vocabulary
from common.errors import UserError
from examples.image_captioning.download.coco_flickr8k import load_coco, load_flickr8k
from examples.image_captioning.download.image_files import Photo, Split, hash_photos
from examples.image_captioning.download.image_folder import load_folder
from examples.image_captioning.download.toy_scenes import make_scenes
from examples.image_captioning.preprocess.feature_extractor import FeatureExtractor
from examples.image_captioning.preprocess.feature_store import FeatureStore, extract_features
from examples.image_captioning.vocabulary import PAD, encode_caption, tokenise

# Step 1: download. Flickr8k (8,000 photos) and MS-COCO (as many photos as you want) are the published sets; a folder of
# your own photos works as well, and `tiny` draws its scenes itself.
TINY_SCENES: dict[Split, int] = {"train": 3000, "validation": 300, "test": 300}


def load_photos(
    name: str, images: int = 1000, data_dir: Path | None = None, encoding: str | None = None, max_skipped: float = 0.05
) -> list[Photo]:
    """Return the photos of the data set called `name`, each with its split, and print what is skipped.

    The splits are those of the data set: the official lists of Flickr8k (not Karpathy's), for COCO `train2017` and
    `val2017` for validation, without a test split (`load_coco`), the captions file of a folder (without splits there,
    about one photo in ten validates), `TINY_SCENES`. The arguments are explained in `Config`.

    Raises:
        UserError: an unknown name, a failed download, or more unusable photos than the fraction `max_skipped`.
    """
    skipped = SkippedExamples()
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
        photos = load_folder(Path(name), skipped, encoding)
    else:
        raise UserError(
            f"{name}: no such folder, nor a known data set; known are flickr8k, coco, coco-val2017, tiny, and "
            "the path of a folder of photos with their captions in captions.json, .tsv, .csv or .txt"
        )
    total = len(photos) + len(skipped.reasons)
    photos = hash_photos(photos, skipped)
    skipped.report(total, "photos", max_skipped)
    return photos


# Step 2: preprocess. Captions become ids, see `vocabulary.py`. Photos become features, see `feature_extractor.py` and
# `feature_store.py`. Each caption of a photo is one example. Captions of similar length share a batch, so that there is
# little padding.
@dataclass(frozen=True)
class PhotoSet:
    """The photos of one split that could be decoded, with their features."""

    photos: Sequence[Photo]
    rows: np.ndarray
    """int64 [photos], the row of each in the store"""
    store: FeatureStore
    mirrored: FeatureStore | None = None
    """the features of the mirrored photos, if there are any"""

    def __len__(self) -> int:
        return len(self.photos)

    def read(self, photos: np.ndarray, use_mirrored: np.ndarray | None = None) -> np.ndarray:
        """Return the features of the photos of these indices: float16 [B, L C + M D], or pixels uint8 [B, S, S, 3].

        Where `use_mirrored`, bool [B], is True, they are those of the mirrored photo.
        """
        rows = self.rows[photos]  # B
        features = self.store.read(rows)
        if use_mirrored is not None and use_mirrored.any():
            features[use_mirrored] = self.mirrored.read(rows[use_mirrored])
        return features

    def captions(self) -> list[list[list[str]]]:
        """Return the tokenised captions of each photo; those without any word, such as "???", are left out.

        Raises:
            UserError: no caption has a word.
        """
        captions = [[words for text in photo.captions if (words := tokenise(text))] for photo in self.photos]
        if not any(captions):
            split = " and ".join({photo.split for photo in self.photos})
            raise UserError(f"no caption of the photos for {split} has a word, only signs; check the list of captions")
        return captions


def load_split(
    photos: Sequence[Photo],
    split: Split,
    extractor: FeatureExtractor,
    features_dir: Path | None,
    max_skipped: float = 0.05,
    mirror: bool = False,
) -> PhotoSet:
    """Return the photos of a split with their features, computed unless an earlier run has done so.

    With `mirror`, the features of the mirrored photos are there as well.

    Raises:
        UserError: there are none, or more than the fraction `max_skipped` cannot be decoded.
    """
    photos = [photo for photo in photos if photo.split == split]
    if not photos:
        raise UserError(f"no photo for {split}; use more photos, or say in captions.json which are for {split}")
    skipped = SkippedExamples()
    features_dir = features_dir or derived_dir() / "features"
    store, rows = extract_features(photos, extractor, features_dir, skipped)
    skipped.report(len(photos), f"photos for {split}", max_skipped)
    mirrored = None
    if mirror:
        mirrored, _ = extract_features(photos, replace(extractor, mirror=True), features_dir, SkippedExamples())
    return PhotoSet([photos[row] for row in rows], np.array(rows), store, mirrored)


def data_fingerprint(photos: Sequence[Photo], extractor: FeatureExtractor) -> dict[str, Any]:
    """Return what identifies photos, captions and the extractor, as JSON values."""
    content = json.dumps([[photo.name, photo.split, photo.digest, *photo.captions] for photo in photos])
    counts = Counter(photo.split for photo in photos)
    return {"photos": dict(counts), "sha256": hashlib.sha256(content.encode()).hexdigest(), "encoder": extractor.key}


class CaptionBatches:
    """Batches of (photo, caption) pairs, of captions of similar length."""

    def __init__(self, photos: PhotoSet, vocabulary: Vocabulary, batch_size: int, max_length: int):
        """Encode all captions; the features stay on disk.

        Raises:
            UserError: as `PhotoSet.captions`.
        """
        encoded = [
            (number, encode_caption(vocabulary, words, max_length))
            for number, captions in enumerate(photos.captions())
            for words in captions
        ]
        self.photos, self.batch_size = photos, batch_size
        numbers, ids = zip(*encoded, strict=True)
        self.lengths = np.array([len(caption) - 1 for caption in ids])  # words and <end>
        self._photo_indices = tf.constant(numbers, tf.int64)
        self._ids = tf.RaggedTensor.from_row_lengths(np.concatenate(ids), self.lengths + 1)

    def __call__(self, seed: int, epoch: int) -> tf.data.Dataset:
        """Return one epoch in the order that `seed` and `epoch` decide.

        Returns:
            Batches (source float16 [B, L C + M D] or uint8 [B, S, S, 3], inputs int32 [B, T], targets int32 [B, T],
            mask bool [B, T]): inputs are <start> and the words, targets the words and <end>; the mask is False on
            padding.
        """
        buckets = length_buckets(self.lengths, self.batch_size, seed, epoch)
        return batches_of(buckets, partial(self._make_batch, epoch=epoch))

    def _make_batch(self, examples: tf.Tensor, epoch: int) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
        ids = tf.gather(self._ids, examples).to_tensor(PAD)  # B T+1
        photos = [tf.gather(self._photo_indices, examples)]
        if self.photos.mirrored:  # a caption sees its photo as it is in one epoch and mirrored in the next
            photos.append((tf.cast(examples, tf.int64) + epoch) % 2 == 1)
        source = tf.numpy_function(self.photos.read, photos, self.photos.store.dtype)
        source.set_shape([None, *self.photos.store.shape])
        return source, ids[:, :-1], ids[:, 1:], ids[:, 1:] != PAD
