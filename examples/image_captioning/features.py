# %% [markdown]
# ### Features: computed once, kept in shards
#
# The features of all photos together may be far larger than memory: 64 cells of 2,048 numbers for each photo. They are
# computed shard by shard (256 photos), and a shard appears on disk by a rename once it is complete: after a kill only
# the shard under way is computed again, and the others are the same to the bit. Training reads the photos of each batch
# from these files as it needs them.

# %%
"""Frozen features of photos in sharded float16 files: bounded memory, resumable, read back row by row."""

import itertools
import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from common.archives import part_path
from common.errors import UserError
from common.run import write_atomically

# %% tags=["module"]
from examples.image_captioning.encoder import Encoder
from examples.image_captioning.photos import LeftOut, Photo, fingerprint, pixels_of

# %%
SHARD = 256  # photos
BATCH = 32  # photos through the network at once
_SUFFIX = ".features"


class FeatureStore:
    """The features of a list of photos, on disk; row i is those of photo i."""

    def __init__(self, folder: Path, encoder: Encoder, count: int):
        """Name the files of `count` photos; nothing is read or written yet."""
        self.folder, self.count = folder, count
        self.shape, self.dtype = encoder.shape, np.dtype(encoder.dtype)
        self._row_bytes = int(np.prod(self.shape)) * self.dtype.itemsize
        self._descriptors: dict[int, int] = {}

    def path(self, shard: int) -> Path:
        """Return where a shard stands."""
        return self.folder / f"{shard:05d}{_SUFFIX}"

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Return the features of the photos in `rows`, [len(rows), *shape].

        Plain reads, not a memory map: of that every page touched would count as memory of this process.
        """
        features = np.empty((len(rows), *self.shape), self.dtype)
        for place, row in zip(features, rows, strict=True):
            shard, number = divmod(int(row), SHARD)
            os.preadv(self._open(shard), [place.reshape(-1).view(np.uint8)], number * self._row_bytes)
        return features

    def _open(self, shard: int) -> int:
        if shard not in self._descriptors:
            self._descriptors[shard] = os.open(self.path(shard), os.O_RDONLY)
        return self._descriptors[shard]

    def __del__(self):
        """Close the files."""
        for descriptor in self._descriptors.values():
            os.close(descriptor)


def extract_features(
    photos: Sequence[Photo], encoder: Encoder, features_dir: Path, left_out: LeftOut
) -> tuple[FeatureStore, list[int]]:
    """Compute the features of surveyed photos, except those that an earlier run has left.

    Args:
        photos: the photos; their order and contents are part of the key under which the features are kept.
        encoder: what computes them; its key is the other part.
        features_dir: where they are kept.
        left_out: gets the photos that cannot be decoded.

    Returns:
        The store, and the rows in it that are photos that could be decoded.

    Raises:
        UserError: the files cannot be written.
    """
    folder = features_dir / encoder.key / fingerprint(photos)[:16]
    store = FeatureStore(folder, encoder, len(photos))
    bad: dict[int, str] = {}
    starts = range(0, len(photos), SHARD)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        missing = [start for start in starts if not store.path(start // SHARD).exists()]
        done = sum(len(photos[start : start + SHARD]) for start in starts if start not in missing)
        with tqdm(desc="features", total=len(photos), initial=done, unit="photo", disable=not missing) as bar:
            for start in missing:
                _write_shard(store.path(start // SHARD), photos[start : start + SHARD], encoder, store, bar)
    except OSError as error:
        needed = store._row_bytes * len(photos) / 2**20
        raise UserError(
            f"{folder}: cannot be written ({error.strerror}; {needed:.0f} MB needed in all); free some space, or name "
            "another --features-dir. Features already there are kept"
        ) from error
    for start in starts:
        faults = json.loads(_notes(store.path(start // SHARD)).read_text(encoding="utf-8"))
        bad |= {start + int(number): reason for number, reason in faults.items()}
    for reason in bad.values():
        left_out.add(reason)
    return store, [row for row in range(len(photos)) if row not in bad]


def _write_shard(path: Path, photos: Sequence[Photo], encoder: Encoder, store: FeatureStore, bar: tqdm) -> None:
    """Write the features of one shard's photos, zeros where one cannot be decoded, and beside it a list of these."""
    faults: dict[int, str] = {}
    part = part_path(path)
    try:
        with open(part, "xb") as file, ThreadPoolExecutor() as pool:
            decoded = pool.map(lambda photo: _decode(photo, encoder.image_size), photos)  # while others are encoded
            for start in range(0, len(photos), BATCH):
                count = min(BATCH, len(photos) - start)
                pixels = np.zeros((count, encoder.image_size, encoder.image_size, 3), np.uint8)
                for number, picture in enumerate(itertools.islice(decoded, count)):
                    if isinstance(picture, UserError):
                        faults[start + number] = str(picture)
                    else:
                        pixels[number] = picture
                file.write(np.ascontiguousarray(encoder(pixels), store.dtype))
                bar.update(count)
            file.flush()
            os.fsync(file.fileno())
        write_atomically(_notes(path), json.dumps(faults))
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _decode(photo: Photo, size: int) -> np.ndarray | UserError:
    try:
        return pixels_of(photo, size)
    except UserError as error:
        return error


def _notes(shard: Path) -> Path:
    """Return the file beside a shard that names the photos that could not be decoded, each with the reason."""
    return shard.with_suffix(".json")
