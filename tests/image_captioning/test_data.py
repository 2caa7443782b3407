import numpy as np
import pytest

from common.data.vocabulary import Vocabulary
from common.errors import UserError
from examples.image_captioning import data
from examples.image_captioning.data import (
    PAD,
    SPECIAL,
    UNKNOWN,
    CaptionBatches,
    PhotoSet,
    build_vocabulary,
    decode_caption,
    encode_caption,
    load_photos,
    tokenise,
)
from examples.image_captioning.photos import Photo


@pytest.mark.parametrize(
    ("caption", "words"),
    [
        ("A dog , running .", ["a", "dog", "running"]),
        ('"Don\'t" -- said a well-known man!', ["don't", "said", "a", "well-known", "man"]),
        ("  ...  ", []),
        ("Caf\u0065\u0301\u00a0bar", ["café", "bar"]),
        ("__init__ 2", ["init", "2"]),
    ],
)
def test_words_are_lower_case_without_punctuation_at_their_ends(caption, words):
    assert tokenise(caption) == words


def test_rare_words_are_unknown_and_captions_come_back():
    vocabulary = build_vocabulary([["a", "dog"], ["a", "cat"], ["a", "dog"]], 2)
    assert vocabulary.symbols == [*SPECIAL, "a", "dog"]
    ids = encode_caption(vocabulary, ["a", "cat", "dog", "dog"], most_words=3)
    assert list(ids) == [1, 4, UNKNOWN, 5, 2]
    assert decode_caption(vocabulary, ids[1:]) == ["a", "<unk>", "dog"] == decode_caption(vocabulary, [4, 3, 5])


def test_no_word_often_enough_is_an_error():
    with pytest.raises(UserError, match="--word-count"):
        build_vocabulary([["a"]], 2)


class Rows:
    """A store whose features are the photo's row."""

    shape, dtype = (1, 1), np.dtype("float16")

    def read(self, rows):
        return np.asarray(rows, np.float16).reshape(-1, 1, 1)


def batches(batch_size=3, most_words=24):
    captions = [["one two", "one"], ["two two two", "..."], ["one two one two one two"]]
    photos = PhotoSet(
        [Photo(str(n), texts, "train", None) for n, texts in enumerate(captions)], np.array([10, 20, 30]), Rows()
    )
    return CaptionBatches(photos, Vocabulary([*SPECIAL, "one", "two"]), batch_size, most_words)


def test_every_caption_of_every_photo_comes_once_with_its_features():
    seen = []
    for source, inputs, targets, mask in batches()(seed=1, epoch=0).as_numpy_iterator():
        assert inputs.shape == targets.shape == mask.shape and (mask == (targets != PAD)).all() and mask.any(0).all()
        assert (inputs[:, 1:] == targets[:, :-1])[mask[:, 1:]].all() and (inputs[:, 0] == 1).all()
        seen += [(int(row[0, 0]), list(ids[there])) for row, ids, there in zip(source, targets, mask, strict=True)]
    expected = [(10, [4, 2]), (10, [4, 5, 2]), (20, [5, 5, 5, 2]), (30, [4, 5, 4, 5, 4, 5, 2])]
    assert sorted(seen) == expected


def test_the_order_is_that_of_seed_and_epoch_and_can_be_skipped_into():
    def order(seed, epoch, skip=0):
        return [batch[2].tolist() for batch in batches(1)(seed, epoch).skip(skip).as_numpy_iterator()]

    assert order(1, 0) == order(1, 0) and order(1, 0, skip=2) == order(1, 0)[2:]
    assert len({str(order(seed, epoch)) for seed in range(3) for epoch in range(3)}) > 3


def test_long_captions_are_cut():
    assert batches(most_words=2).lengths.max() == 3


def test_the_tiny_set_has_all_splits_and_needs_nothing(monkeypatch):
    monkeypatch.setattr(data, "TINY_SCENES", {"train": 6, "validation": 3, "test": 2})
    photos = load_photos("tiny")
    assert [photo.split for photo in photos] == ["train"] * 6 + ["validation"] * 3 + ["test"] * 2
    assert len({photo.digest for photo in photos}) == 11


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(UserError, match="--data foo: .*flickr8k, coco, coco-val2017, tiny"):
        load_photos("foo")
