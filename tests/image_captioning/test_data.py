import numpy as np
import pytest

from common.data.vocabulary import Vocabulary
from common.errors import UserError
from examples.image_captioning import data
from examples.image_captioning.data import CaptionBatches, PhotoSet, load_photos
from examples.image_captioning.download.image_files import Photo
from examples.image_captioning.vocabulary import PAD, SPECIAL_TOKENS


class Rows:
    """A store whose features are the photo's row."""

    shape, dtype = (1, 1), np.dtype("float16")

    def __init__(self, sign=1):
        self.sign = sign

    def read(self, rows):
        return self.sign * np.asarray(rows, np.float16).reshape(-1, 1, 1)


CAPTIONS = [["one two", "one"], ["two two two", "..."], ["one two one two one two"]]


def batches(batch_size=3, max_length=24, mirrored=None, captions=CAPTIONS):
    photos = PhotoSet(
        [Photo(str(n), texts, "train", None) for n, texts in enumerate(captions)],
        np.array([10, 20, 30]),
        Rows(),
        mirrored,
    )
    return CaptionBatches(photos, Vocabulary([*SPECIAL_TOKENS, "one", "two"]), batch_size, max_length)


def test_every_caption_of_every_photo_comes_once_with_its_features():
    seen = []
    for source, inputs, targets, mask in batches()(seed=1, epoch=0).as_numpy_iterator():
        assert inputs.shape == targets.shape == mask.shape and (mask == (targets != PAD)).all() and mask.any(0).all()
        assert (inputs[:, 1:] == targets[:, :-1])[mask[:, 1:]].all() and (inputs[:, 0] == 1).all()
        seen += [(int(row[0, 0]), list(ids[there])) for row, ids, there in zip(source, targets, mask, strict=True)]
    expected = [(10, [4, 2]), (10, [4, 5, 2]), (20, [5, 5, 5, 2]), (30, [4, 5, 4, 5, 4, 5, 2])]
    assert sorted(seen) == expected


def test_a_caption_sees_its_photo_mirrored_in_every_other_epoch():
    seen = {}
    for epoch in range(4):
        for source, _, targets, _ in batches(mirrored=Rows(sign=-1))(seed=1, epoch=epoch).as_numpy_iterator():
            for row, ids in zip(source[:, 0, 0], targets, strict=True):
                seen.setdefault(tuple(ids[ids != PAD]), []).append(float(row))
    assert sorted(map(sorted, seen.values())) == [[-n, -n, n, n] for n in (30, 20, 10, 10)]
    assert all(first == -second == third for first, second, third, _ in seen.values())
    assert len({row > 0 for row, *_ in seen.values()}) == 2  # not all at the same time


def test_the_order_is_that_of_seed_and_epoch_and_can_be_skipped_into():
    def order(seed, epoch, skip=0):
        return [batch[2].tolist() for batch in batches(1)(seed, epoch).skip(skip).as_numpy_iterator()]

    assert order(1, 0) == order(1, 0) and order(1, 0, skip=2) == order(1, 0)[2:]
    assert len({str(order(seed, epoch)) for seed in range(3) for epoch in range(3)}) > 3


def test_captions_of_signs_alone_are_an_error():
    with pytest.raises(UserError, match="no caption of the photos for train has a word"):
        batches(captions=[["???"], ["...", "!"], ["-"]])


def test_long_captions_are_cut():
    assert batches(max_length=2).lengths.max() == 3


def test_the_tiny_set_has_all_splits_and_needs_nothing(monkeypatch):
    monkeypatch.setattr(data, "TINY_SCENES", {"train": 6, "validation": 3, "test": 2})
    photos = load_photos("tiny")
    assert [photo.split for photo in photos] == ["train"] * 6 + ["validation"] * 3 + ["test"] * 2
    assert len({photo.digest for photo in photos}) == 11


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(UserError, match="^foo: .*flickr8k, coco, coco-val2017, tiny"):
        load_photos("foo")
