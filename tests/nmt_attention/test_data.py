import hashlib
import zipfile

import numpy as np
import pytest
import tensorflow_datasets as tfds

from common.errors import UserError
from examples.nmt_attention import data
from examples.nmt_attention.config import Config
from examples.nmt_attention.data import EncodedPairs, load_corpus, load_tables, load_test_pairs, load_tokenizer
from examples.nmt_attention.preprocess.tokenizer import END, PAD, WordTokenizer, detokenise

PAIRS = [("Hola a todos.", "Hello everybody."), ("Hola.", "Hello."), ("Todos.", "Everybody!"), ("A.", "B.")] * 5


@pytest.fixture(scope="module")
def encoded():
    words = [WordTokenizer.build([pair[side] for pair in PAIRS], 1) for side in (0, 1)]
    return words, EncodedPairs(PAIRS, *words)


def test_batches_hold_each_pair_once_padded_on_the_right(encoded):
    words, pairs = encoded
    seen = []
    for source, target in pairs.batches(3, seed=1, epoch=0).as_numpy_iterator():
        assert source.dtype == target.dtype == np.int32 and len(source) == len(target) <= 3
        for ids, side in ((source, 0), (target, 1)):
            is_pad = ids == PAD
            assert (np.sort(is_pad, axis=1) == is_pad).all() and not is_pad[:, 0].any()  # padding only at the end
            assert not is_pad.all(axis=0).any()  # and never wider than the longest
            if side:
                assert (ids[np.arange(len(ids)), (~is_pad).sum(axis=1) - 1] == END).all()
        texts = [
            [detokenise(words[side].vocabulary.decode(i for i in row if i not in (PAD, END))).lower() for row in ids]
            for side, ids in enumerate((source, target))
        ]
        seen += zip(*texts, strict=True)
    assert sorted(seen) == sorted((source.lower(), target.lower()) for source, target in PAIRS)


def test_an_epoch_is_the_same_whenever_asked_and_skipping_finds_the_rest(encoded):
    _, pairs = encoded
    once = [source.tolist() for source, _ in pairs.batches(3, 1, 0).as_numpy_iterator()]
    assert once == [source.tolist() for source, _ in pairs.batches(3, 1, 0).as_numpy_iterator()]
    assert once[4:] == [source.tolist() for source, _ in pairs.batches(3, 1, 0).skip(4).as_numpy_iterator()]
    assert once != [source.tolist() for source, _ in pairs.batches(3, 1, 1).as_numpy_iterator()]
    assert int(pairs.batches(3, 1, 0).cardinality()) == len(once) == 7


def write(path, rows):
    path.write_bytes("".join(f"{row}\n" for row in rows).encode())
    return str(path)


def test_a_file_with_bom_crlf_and_attributions_is_read_as_the_clean_one(tmp_path):
    rows = [f"English {number}.\tEspañol {number}.\tCC-BY" for number in range(200)]
    clean = load_corpus(write(tmp_path / "clean.tsv", rows), ("2", "1"), held_out=0.1)
    (tmp_path / "other.tsv").write_bytes(b"\xef\xbb\xbf" + "\r\n".join(rows).encode())
    other = load_corpus(str(tmp_path / "other.tsv"), ("2", "1"), held_out=0.1)
    assert other.train == clean.train and other.test == clean.test and other.fingerprint == clean.fingerprint
    assert clean.train[0][0].startswith("Español")
    reverse = load_corpus(str(tmp_path / "clean.tsv"), held_out=0.1)
    assert [pair[::-1] for pair in reverse.test] == clean.test  # the split does not depend on the direction


def test_spa_eng_in_the_cache_is_used_without_a_connection(tmp_path, monkeypatch):
    text = "".join(f"Go {n}.\tVe {n}.\n" for n in range(300)).encode()
    with zipfile.ZipFile(tmp_path / "spa-eng.zip", "w") as archive:
        archive.writestr("spa-eng/spa.txt", text)
    members = {"spa-eng/spa.txt": hashlib.sha256(text).hexdigest()}
    resource = data.Resource("spa-eng.zip", "https://localhost/none", 1, "none", members=members)
    monkeypatch.setattr(data, "SPA_ENG", resource)
    assert load_tables("spa-eng", tmp_path)["all"].rows == [[f"Ve {n}.", f"Go {n}."] for n in range(300)]


def test_the_tiny_data_is_spanish_to_english():
    corpus = load_corpus("tiny", held_out=0.1)
    assert len(corpus.train) + len(corpus.validation) + len(corpus.test) == 3000
    assert any("¿" in source for source, _ in corpus.test) and not any("¿" in target for _, target in corpus.test)
    assert len(corpus.target_tokenizer) < 80


def test_vocabularies_are_made_of_the_training_part_alone(tmp_path):
    rows = [f"English{number}.\tEspañol{number}." for number in range(200)]
    corpus = load_corpus(write(tmp_path / "x.tsv", rows), ("2", "1"), held_out=0.1, min_count=1)
    known = set(corpus.source_tokenizer.vocabulary.symbols)
    assert not any(source.rstrip(".").lower() in {word.lower() for word in known} for source, _ in corpus.test)


class ToyTranslate(tfds.core.GeneratorBasedBuilder):
    """Made like ted_hrlr_translate; tensorflow-datasets knows it by its class name."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = tfds.features.Translation(languages=("en", "pt"))
        return tfds.core.DatasetInfo(builder=self, features=features, supervised_keys=("pt", "en"))

    def _split_generators(self, dl_manager):
        return {"train": self._rows("a", 30), "test": self._rows("b", 30)}

    def _rows(self, letter, count):
        return [(n, {"en": f"hello {letter}{n}", "pt": f"olá {letter}{n}"}) for n in range(count)]

    def _generate_examples(self):
        raise NotImplementedError


class ToyNoPairs(tfds.core.GeneratorBasedBuilder):
    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict({"x": tfds.features.Text()}))

    def _split_generators(self, dl_manager):
        return {"train": [(0, {"x": "one"})]}

    def _generate_examples(self):
        raise NotImplementedError


def test_a_tfds_translation_set_is_joined_and_split_here(tmp_path):
    corpus = load_corpus("tfds:toy_translate", held_out=0.2, data_dir=tmp_path)
    everything = {*corpus.train, *corpus.validation, *corpus.test}
    assert everything == {(f"olá {letter}{n}", f"hello {letter}{n}") for letter in "ab" for n in range(30)}


def test_of_a_tfds_set_the_test_split_alone_is_test_data(tmp_path):
    pairs = load_test_pairs("tfds:toy_translate", ("1", "2"), data_dir=tmp_path)
    assert sorted(pairs) == sorted((f"olá b{n}", f"hello b{n}") for n in range(30))


def test_a_tfds_set_without_pairs_is_an_error(tmp_path):
    with pytest.raises(UserError, match="expected pairs of texts"):
        load_tables("tfds:toy_no_pairs", tmp_path)


def test_unknown_names_list_the_known_ones_and_too_little_data_says_so(tmp_path):
    with pytest.raises(UserError, match="^foo: .*spa-eng, tiny, tfds:NAME"):
        load_tables("foo")
    with pytest.raises(UserError, match="tfds:no_such_set"):
        load_tables("tfds:no_such_set", tmp_path)
    too_few = "2 pairs, in 2 groups that share no sentence, are too few to hold out 2% twice"
    with pytest.raises(UserError, match=too_few):
        load_corpus(write(tmp_path / "x.tsv", ["a\tb", "c\td"]))


def test_reverse_exchanges_the_columns():
    assert Config(reverse=True, columns="de,en").corpus()["columns"] == ("en", "de")
    assert Config(columns="de,en").corpus()["columns"] == ("de", "en")


def test_a_run_stores_that_its_targets_begin_in_lower_case(tmp_path):
    rows = [f"القطة {number}\tthe cat {number}" for number in range(100)]
    corpus = load_corpus(write(tmp_path / "x.tsv", rows), held_out=0.1)
    assert corpus.target_tokenizer.lower_case and corpus.fingerprint["target_case"] == "lower"
    corpus.target_tokenizer.vocabulary.save(tmp_path / "v.json")
    assert load_tokenizer(tmp_path / "v.json", "words", lower_case=True).restore_case(["the"], ["القطة"]) == ["the"]
    cased = load_corpus(write(tmp_path / "y.tsv", [row.replace("the", "The") for row in rows]), held_out=0.1)
    assert not cased.target_tokenizer.lower_case and "target_case" not in cased.fingerprint
