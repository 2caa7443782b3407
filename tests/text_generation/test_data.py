import numpy as np
import pytest
import requests
import tensorflow_datasets as tfds

from common.errors import UserError
from examples.text_generation import data
from examples.text_generation.data import (
    contiguous_batches,
    first_words,
    independent_windows,
    load_corpus,
    load_text,
    training_batches,
)


def as_numpy(dataset):
    return list(dataset.as_numpy_iterator())


@pytest.mark.parametrize(("count", "streams", "window"), [(50, 2, 5), (51, 3, 4), (7, 4, 5), (2, 1, 1), (1000, 16, 7)])
def test_every_character_but_the_first_is_a_target_once(count, streams, window):
    ids = np.arange(count, dtype=np.int32)
    batches = as_numpy(contiguous_batches(ids, streams, window))
    targets = np.concatenate([targets[mask] for _, targets, mask, _ in batches])
    assert sorted(targets) == list(range(1, count))
    for inputs, targets, mask, _ in batches:
        assert inputs.shape == targets.shape == mask.shape == (streams, window)
        assert (targets[mask] == inputs[mask] + 1).all()


def test_each_stream_goes_on_where_it_ended():
    batches = as_numpy(contiguous_batches(np.arange(201, dtype=np.int32), streams=4, window=10))
    for (before, *_), (after, *_) in zip(batches, batches[1:], strict=False):
        assert (after[:, 0] == before[:, -1] + 1).all()
    assert [bool(is_start) for *_, is_start in batches] == [True] + [False] * (len(batches) - 1)


def test_an_epoch_is_the_same_whenever_asked_and_differs_from_the_next():
    ids = np.arange(300, dtype=np.int32)

    def first_inputs(seed, epoch):
        return as_numpy(training_batches(ids, 3, 10, seed, epoch))[0][0]

    assert (first_inputs(1, 0) == first_inputs(1, 0)).all()
    assert (first_inputs(1, 0) != first_inputs(1, 1)).any() and (first_inputs(1, 0) != first_inputs(2, 0)).any()


def test_independent_windows_count_every_character_without_memory():
    batches = as_numpy(independent_windows(np.arange(60, dtype=np.int32), streams=4, window=8))
    assert all(is_start for *_, is_start in batches)
    assert sorted(np.concatenate([targets[mask] for _, targets, mask, _ in batches])) == list(range(1, 60))


def test_the_tiny_play_is_split_by_position():
    corpus = load_corpus("tiny", window=40)
    text = load_text("tiny")
    assert 3000 < len(text) < 6000
    assert "".join(corpus.vocabulary.decode([*corpus.train, *corpus.validation])) == text
    assert len(corpus.train) == int(0.9 * len(text))


def test_shakespeare_in_the_cache_is_used_without_a_connection(tmp_path, monkeypatch):
    import hashlib

    content = b"To be, or not to be\r\n" * 100
    resource = data.Resource(
        "shakespeare.txt", "https://localhost/none", len(content), "none", hashlib.sha256(content).hexdigest()
    )
    monkeypatch.setattr(data, "SHAKESPEARE", resource)
    (tmp_path / "shakespeare.txt").write_bytes(content)
    assert load_text("shakespeare", tmp_path) == "To be, or not to be\n" * 100


def test_shakespeare_without_cache_or_network_says_where_to_put_it(tmp_path):
    with pytest.raises(UserError, match=r"shakespeare.txt.*https://storage.googleapis.com") as error:
        load_text("shakespeare", tmp_path)
    assert str(tmp_path) in str(error.value) and "\n" not in str(error.value)


class ToyPlays(tfds.core.GeneratorBasedBuilder):
    """Made like tiny_shakespeare: one example a split; tensorflow-datasets knows it by its class name."""

    VERSION = tfds.core.Version("1.0.0")
    FEATURE, PARTS = "text", {"test": "three", "train": "one ", "validation": "two "}

    def _info(self):
        features = tfds.features.FeaturesDict({self.FEATURE: tfds.features.Text()})
        return tfds.core.DatasetInfo(builder=self, features=features)

    def _split_generators(self, dl_manager):
        return {split: [(0, {self.FEATURE: text})] for split, text in self.PARTS.items()}

    def _generate_examples(self):
        raise NotImplementedError


class ToyPoems(ToyPlays):
    PARTS = {"train": "only one split"}


class ToyTitles(ToyPlays):
    FEATURE = "title"


def test_tfds_splits_are_joined_in_the_order_of_the_file(tmp_path):
    assert load_text("tfds:toy_plays", tmp_path) == "one two three"
    assert load_text("tfds:toy_poems", tmp_path) == "only one split"


def test_a_tfds_data_set_without_text_is_an_error(tmp_path):
    with pytest.raises(UserError, match="a feature called text, got {'title'"):
        load_text("tfds:toy_titles", tmp_path)


def test_a_tfds_data_set_that_must_be_downloaded_is_refused_offline(tmp_path, monkeypatch):
    monkeypatch.setenv("EAGER_EXAMPLES_OFFLINE", "1")
    with pytest.raises(UserError, match="tfds:tiny_shakespeare: .*EAGER_EXAMPLES_OFFLINE is set, and it is not in"):
        load_text("tfds:tiny_shakespeare", tmp_path)


def test_without_a_network_a_tfds_data_set_is_refused_at_once(tmp_path, monkeypatch):
    monkeypatch.delenv("EAGER_EXAMPLES_OFFLINE", raising=False)

    def fail(url, timeout):
        raise requests.ConnectionError("no route")

    monkeypatch.setattr("common.data.tfds.requests.head", fail)
    with pytest.raises(UserError, match="tfds:tiny_shakespeare: cannot be loaded .no route.; check the name and"):
        load_text("tfds:tiny_shakespeare", tmp_path)


def test_an_unknown_tfds_name_is_an_error(tmp_path):
    with pytest.raises(UserError, match="tfds:no_such_set"):
        load_text("tfds:no_such_set", tmp_path)


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(UserError, match="^foo: .*shakespeare, tiny, tfds:tiny_shakespeare"):
        load_text("foo")


def test_a_text_in_any_script_brings_its_own_prompt(tmp_path):
    (tmp_path / "onegin.txt").write_text("Мой дядя самых честных правил,\nКогда не в шутку занемог,\n" * 30)
    corpus = load_corpus(str(tmp_path / "onegin.txt"), window=40)
    assert corpus.prompt in ("Мой дядя самых честных правил,", "Когда не в шутку занемог,")
    assert load_corpus("tiny", 40).prompt == "MIRA:"


@pytest.mark.parametrize(
    ("text", "prompt"),
    [("cut\n\nshort\nlong enough\n", "long enough"), ("all\nshort", "all\nshort"), ("x" * 99, "x" * 40)],
)
def test_a_prompt_is_whole_words_where_there_are_some(text, prompt):
    assert first_words(text) == prompt
