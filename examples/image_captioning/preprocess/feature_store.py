"""Frozen features of photos in sharded files: bounded memory, resumable, read back row by row.

The features of all photos together may be larger than memory: 351 kB a photo with MobileNetV2. They are computed shard
by shard (256 photos), and a shard appears on disk by a rename once it is complete: after a kill only the shard under
way is computed again, and the others are the same to the bit. A shard that was cut off or altered is found by its
sha256, and computed again. Training reads the photos of each batch from these files as it needs them.
"""

import hashlib
import itertools
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from common.data.skipped import SkippedExamples, or_error
from common.errors import UserError
from common.io.files import delete, leftover_temporary_paths, replacing, sha256_of, write_atomically
from common.io.pool import Pool
from common.io.records import Count, Line, Sha256, read_record
from common.io.terminal import echo
from examples.image_captioning.download.image_files import Photo, fingerprint, resize
from examples.image_captioning.preprocess.feature_extractor import FeatureExtractor

SHARD = 256  # photos
BATCH = 32  # photos through the network at once
_MAX_NOTES_BYTES = 1 << 24


@dataclass(frozen=True)
class ShardNotes:
    """What stands beside a shard: its sha256, and the photos in it that could not be decoded, each with the reason."""

    sha256: Sha256
    faults: dict[Count, Line]


class FeatureStore:
    """The features of a list of photos, on disk; row i is those of photo i."""

    def __init__(self, folder: Path, extractor: FeatureExtractor):
        """Name the folder; nothing is read or written yet."""
        self.folder = folder
        self.shape, self.dtype = extractor.shape, np.dtype(extractor.dtype)
        self.row_bytes = int(np.prod(self.shape)) * self.dtype.itemsize

    def path(self, shard: int) -> Path:
        """Return where a shard stands."""
        return self.folder / f"{shard:05d}.features"

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Return the features of the photos in `rows`, [len(rows), *shape].

        Plain reads, not a memory map: every page of it that is touched would count as memory of this process. A file is
        open for one row only, because there may be more shards than a process may open files.

        Raises:
            UserError: a file is gone, unreadable, or shorter than it was when it was checked.
        """
        features = np.empty((len(rows), *self.shape), self.dtype)
        for place, row in zip(features, rows, strict=True):
            shard, number = divmod(int(row), SHARD)
            buffer = place.reshape(-1).view(np.uint8)
            try:
                with open(self.path(shard), "rb", buffering=0) as file:
                    count = os.preadv(file.fileno(), [buffer], number * self.row_bytes)
            except FileNotFoundError:
                count = 0
            except OSError as error:
                raise UserError(
                    f"{self.path(shard)}: cannot be read ({error.strerror}); check the disk, or name another "
                    "--features-dir"
                ) from error
            if count != self.row_bytes:
                raise UserError(f"{self.path(shard)}: gone or cut off meanwhile; the same command computes it again")
        return features

    def is_intact(self, shard: int) -> bool:
        """Say whether a shard is there, to the bit as it was written."""
        try:
            return sha256_of(self.path(shard)) == self.notes(shard).sha256
        except (OSError, UserError):
            return False

    def notes(self, shard: int) -> "ShardNotes":
        """Return what is noted beside a shard.

        Raises:
            UserError: there is no such note, or it is damaged.
        """
        return read_record(self.path(shard).with_suffix(".json"), ShardNotes, _MAX_NOTES_BYTES)


def extract_features(
    photos: Sequence[Photo], extractor: FeatureExtractor, features_dir: Path, skipped: SkippedExamples
) -> tuple[FeatureStore, list[int]]:
    """Compute and store the features of photos, except those that an earlier run has left.

    They are kept under a key of two parts: `FeatureExtractor.key` (the network, its weights and its settings), and a
    digest of the photos in their order.

    Returns:
        The store, and the rows in it that are photos that could be decoded; `skipped` gets the others.

    Raises:
        UserError: the files cannot be written.
    """
    folder = features_dir / extractor.key / fingerprint(photos)[:16]
    store = FeatureStore(folder, extractor)
    shards = range(-(-len(photos) // SHARD))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        missing = _missing(store, shards)
        done = len(photos) - sum(len(photos[shard * SHARD : (shard + 1) * SHARD]) for shard in missing)
        with tqdm(desc="features", total=len(photos), initial=done, unit="photo", disable=not missing) as bar:
            for shard in missing:
                _complete_shard(shard, photos[shard * SHARD : (shard + 1) * SHARD], extractor, store, bar)
    except OSError as error:
        needed = len(photos) * store.row_bytes / 2**20
        raise UserError(
            f"{folder}: cannot be written ({error.strerror}; {needed:.0f} MB needed in all); free some space, or name "
            "another --features-dir. Features already there are kept"
        ) from error
    bad = {shard * SHARD + number: reason for shard in shards for number, reason in store.notes(shard).faults.items()}
    for reason in bad.values():
        skipped.add(reason)
    return store, [row for row in range(len(photos)) if row not in bad]


def _missing(store: FeatureStore, shards: Sequence[int]) -> list[int]:
    """Return the shards that are not intact, and print which of them are there."""
    with Pool() as pool:  # a digest does not keep the other threads waiting
        intact = list(pool.map(store.is_intact, shards))
    missing = [shard for shard, is_intact in zip(shards, intact, strict=True) if not is_intact]
    for path in map(store.path, missing):
        if path.exists():
            echo(f"{path}: cut off or altered; its features are computed again")
    return missing


def _complete_shard(
    shard: int, photos: Sequence[Photo], extractor: FeatureExtractor, store: FeatureStore, bar: tqdm
) -> None:
    """Write a shard, and delete the temporary files that killed processes have left of it."""
    try:
        _write_shard(shard, photos, extractor, store, bar)
    except FileNotFoundError:  # a faster process has finished the shard, and deleted this temporary file
        if not store.is_intact(shard):
            raise
    for stale in leftover_temporary_paths(store.path(shard)):
        delete(stale)


def _write_shard(
    shard: int, photos: Sequence[Photo], extractor: FeatureExtractor, store: FeatureStore, bar: tqdm
) -> None:
    """Write the features of one shard's photos, zeros where one cannot be decoded, and beside it the notes."""
    faults: dict[int, str] = {}
    digest = hashlib.sha256()
    path = store.path(shard)
    with replacing(path) as part, open(part, "xb") as file, Pool() as pool:
        decode = partial(or_error, lambda photo: resize(photo.open(), extractor.image_size))
        decoded = pool.map(decode, photos)  # while others are encoded
        for start in range(0, len(photos), BATCH):
            count = min(BATCH, len(photos) - start)
            pixels = np.zeros((count, extractor.image_size, extractor.image_size, 3), np.uint8)
            for number, picture in enumerate(itertools.islice(decoded, count)):
                if isinstance(picture, UserError):
                    faults[start + number] = str(picture)
                else:
                    pixels[number] = picture
            content = np.ascontiguousarray(extractor(pixels), store.dtype)
            file.write(content)
            digest.update(content)
            bar.update(count)
        file.flush()
        notes = {"sha256": digest.hexdigest(), "faults": faults}
        write_atomically(path.with_suffix(".json"), json.dumps(notes))
