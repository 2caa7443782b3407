import errno
import json
import os
import signal
import subprocess
import sys
from contextlib import nullcontext

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from common.data.skipped import SkippedExamples
from common.errors import UserError
from examples.image_captioning.download.image_files import Photo, hash_photos, resize
from examples.image_captioning.preprocess import feature_store
from examples.image_captioning.preprocess.feature_extractor import FeatureExtractor
from examples.image_captioning.preprocess.feature_store import extract_features


class Means(FeatureExtractor):
    """Keeps the mean of each channel, and counts the photos that it is given."""

    shape, dtype, key = (3,), "float16", "means"
    photos = 0

    def __call__(self, pixels):
        Means.photos += len(pixels)
        return tf.cast(tf.reduce_mean(tf.cast(pixels, tf.float32), axis=(1, 2)), tf.float16)


def make_photos(folder, count=7):
    folder.mkdir(exist_ok=True)
    for number in range(count):
        colour = tuple(int(c) for c in np.random.default_rng(number).integers(255, size=3))
        Image.new("RGB", (8, 8), colour).save(folder / f"{number}.png")
    return hash_photos(
        [Photo(f"{n}.png", ["x"], "train", folder / f"{n}.png") for n in range(count)], SkippedExamples()
    )


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(feature_store, "SHARD", 3)
    monkeypatch.setattr(feature_store, "BATCH", 2)
    Means.photos = 0


def extract(photos, tmp_path, skipped=None):
    return extract_features(photos, Means("means", 8), tmp_path / "features", skipped or SkippedExamples())


def test_each_row_is_that_of_its_photo_in_any_order(tmp_path):
    photos = make_photos(tmp_path / "photos")
    store, rows = extract(photos, tmp_path)
    assert rows == list(range(7))
    order = np.array([6, 0, 3, 3, 5])
    expected = [resize(photos[row].open(), 8).mean(axis=(0, 1)) for row in order]
    np.testing.assert_allclose(store.read(order), expected, rtol=1e-3)


def test_what_is_there_is_not_computed_again_and_what_is_lost_is(tmp_path):
    photos = make_photos(tmp_path / "photos")
    store, _ = extract(photos, tmp_path)
    before = store.read(np.arange(7))
    extract(photos, tmp_path)
    assert Means.photos == 7
    store.path(1).unlink()
    again, _ = extract(photos, tmp_path)
    assert Means.photos == 7 + 3 and (again.read(np.arange(7)) == before).all()


def test_what_a_killed_process_has_left_of_a_shard_is_deleted_once_the_shard_is_complete(tmp_path):
    photos = make_photos(tmp_path / "photos")
    store, _ = extract(photos, tmp_path)
    store.path(1).unlink()
    left = store.folder / f".00001.features.{'a' * 32}.part"
    left.write_bytes(b"half")
    extract(photos, tmp_path)
    assert not left.exists() and store.path(1).exists()


@pytest.mark.parametrize("is_finished", [True, False])
def test_a_temporary_file_that_is_gone_is_an_error_unless_another_process_has_finished_the_shard(
    tmp_path, monkeypatch, is_finished
):
    write = feature_store._write_shard

    def lose(*arguments):
        if is_finished:
            write(*arguments)
        raise FileNotFoundError(2, "No such file or directory")

    photos = make_photos(tmp_path / "photos")
    monkeypatch.setattr(feature_store, "_write_shard", lose)
    with nullcontext() if is_finished else pytest.raises(UserError, match="cannot be written"):
        extract(photos, tmp_path)


SPOILED = {
    "halved": lambda content: content[: len(content) // 2],
    "emptied": lambda content: b"",
    "one bit flipped": lambda content: bytes([content[0] ^ 1]) + content[1:],
    "longer": lambda content: content + b"\0",
    "of zeros": lambda content: bytes(len(content)),
}


@pytest.mark.parametrize("suffix", [".features", ".json"])
@pytest.mark.parametrize("spoil", SPOILED.values(), ids=SPOILED)
def test_a_shard_that_was_altered_is_found_out_and_computed_again(tmp_path, capsys, spoil, suffix):
    photos = make_photos(tmp_path / "photos")
    store, _ = extract(photos, tmp_path)
    before = store.read(np.arange(7))
    path = store.path(1).with_suffix(suffix)
    path.write_bytes(spoil(path.read_bytes()))
    again, rows = extract(photos, tmp_path)
    assert (again.read(np.arange(7)) == before).all() and rows == list(range(7)) and Means.photos == 7 + 3
    assert "00001.features: cut off or altered; its features are computed again" in capsys.readouterr().out


def test_what_is_cut_off_while_it_is_read_is_never_taken_for_features(tmp_path):
    store, _ = extract(make_photos(tmp_path / "photos"), tmp_path)
    os.truncate(store.path(1), 7)
    with pytest.raises(UserError, match="00001.features: gone or cut off meanwhile"):
        store.read(np.array([4]))
    store.path(1).unlink()
    with pytest.raises(UserError, match="00001.features: gone or cut off meanwhile"):
        store.read(np.array([4]))


def test_a_disk_error_names_the_file(tmp_path, monkeypatch):
    store, _ = extract(make_photos(tmp_path / "photos"), tmp_path)

    def preadv(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "preadv", preadv)
    with pytest.raises(UserError, match="00001.features: cannot be read .Input/output error"):
        store.read(np.array([4]))


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs /proc")
def test_no_file_stays_open(tmp_path):
    """A process may open 256 files on macOS; a large album has more shards."""
    store, _ = extract(make_photos(tmp_path / "photos"), tmp_path)
    before = len(os.listdir("/proc/self/fd"))
    store.read(np.arange(7))
    assert len(os.listdir("/proc/self/fd")) == before


def test_other_photos_and_other_contents_are_other_features(tmp_path):
    photos = make_photos(tmp_path / "photos")
    folders = {extract(photos, tmp_path)[0].folder, extract(photos[:5], tmp_path)[0].folder}
    Image.new("RGB", (8, 8), "pink").save(tmp_path / "photos" / "2.png")
    folders.add(extract(hash_photos(photos, SkippedExamples()), tmp_path)[0].folder)
    assert len(folders) == 3


BAD = {
    "cut.jpg": lambda good: good[: len(good) // 2],
    "empty.jpg": lambda good: b"",
    "page.jpg": lambda good: b"<!DOCTYPE html><html>log in</html>",
}


def test_bad_photos_are_named_left_out_and_remembered(tmp_path):
    photos = make_photos(tmp_path / "photos", 4)
    Image.effect_noise((64, 64), 50).save(tmp_path / "good.jpg")
    for name, spoil in BAD.items():
        (tmp_path / "photos" / name).write_bytes(spoil((tmp_path / "good.jpg").read_bytes()))
    Image.new("1", (8000, 8000)).save(tmp_path / "photos" / "bomb.png")
    bad = [Photo(name, ["x"], "train", tmp_path / "photos" / name) for name in (*BAD, "bomb.png")]
    photos = hash_photos([*photos[:2], *bad, *photos[2:]], SkippedExamples())
    for _ in range(2):  # computed, then found
        skipped = SkippedExamples()
        store, rows = extract(photos, tmp_path, skipped)
        assert rows == [0, 1, 6, 7]
        for name, reason in zip((*BAD, "bomb.png"), skipped.reasons, strict=True):
            assert name in reason
        expected = resize(photos[7].open(), 8).mean(axis=(0, 1))
        np.testing.assert_allclose(store.read(np.array([7])), [expected], rtol=1e-3)


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "features").write_text("in the way")
    with pytest.raises(UserError, match="--features-dir"):
        extract(make_photos(tmp_path / "photos"), tmp_path)


KILLED = """
import sys, os, signal
from pathlib import Path
from examples.image_captioning.preprocess import feature_store
from tests.image_captioning.preprocess.test_feature_store import Means, extract, make_photos
feature_store.SHARD, feature_store.BATCH = 3, 2
class Killer(Means):
    def __call__(self, pixels):
        if Killer.photos >= 4:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(pixels)
import tests.image_captioning.preprocess.test_feature_store as module
module.Means = Killer
folder = Path(sys.argv[1])
module.extract(make_photos(folder / "photos"), folder)
"""


def test_killed_in_the_middle_it_goes_on_with_the_shard_under_way(tmp_path):
    assert (
        subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], stderr=subprocess.DEVNULL).returncode
        == -signal.SIGKILL
    )
    [first] = (tmp_path / "features").rglob("*.features")
    written = first.read_bytes()
    photos = make_photos(tmp_path / "photos")
    store, _ = extract(photos, tmp_path)
    assert Means.photos == 4 and first.read_bytes() == written  # 3 of 7 were done
    fresh, _ = extract(photos, tmp_path / "uninterrupted")
    assert (store.read(np.arange(7)) == fresh.read(np.arange(7))).all()
    assert json.loads(first.with_suffix(".json").read_text())["faults"] == {} and os.listdir(store.folder)
