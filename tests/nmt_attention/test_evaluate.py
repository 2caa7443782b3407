import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import sacrebleu

from common.errors import UserError
from examples.nmt_attention import evaluate as measuring
from examples.nmt_attention.config import Config, EvaluateOptions
from examples.nmt_attention.data import EncodedPairs, load_corpus, load_test_pairs
from examples.nmt_attention.demo import SentenceTranslator
from examples.nmt_attention.evaluate import (
    alignment_accuracy,
    batches_up_to,
    evaluate,
    format_samples,
    held_out_pairs,
    measure_text,
    protocol,
)


@pytest.fixture(scope="module")
def metrics(trained):
    return evaluate(EvaluateOptions(run=trained.path))


@pytest.fixture(scope="module")
def written(trained, metrics):
    return trained.read_evaluation()


def test_the_tiny_preset_translates_and_looks_where_it_should(metrics):
    assert metrics["greedy"]["exact_match"] > 0.95 and metrics["beam"]["exact_match"] > 0.95
    assert metrics["alignment"] > 0.9


def test_shuffled_attention_does_not_pass_for_aligned(translator):
    pairs = load_corpus("tiny", held_out=0.1).test
    attention = [each.attention for each in translator.score(pairs)]
    assert alignment_accuracy(attention, pairs) > 0.9
    shuffle = np.random.default_rng(1)
    assert alignment_accuracy([shuffle.permutation(each, axis=1) for each in attention], pairs) < 0.3
    assert alignment_accuracy([shuffle.permutation(each, axis=0) for each in attention], pairs) < 0.3


def test_the_alignment_can_be_asked_in_either_direction():
    pairs = load_corpus("tiny", held_out=0.1).test[:3]
    from examples.nmt_attention.download.toy_grammar import tiny_pairs
    from examples.nmt_attention.preprocess.tokenizer import tokenise

    known = {pair.spanish: pair for pair in tiny_pairs()}
    marks = {source: int(source.startswith("¿")) for source, _ in pairs}
    perfect = []
    for source, target in pairs:
        weights = np.zeros((len(tokenise(target)), len(tokenise(source))))
        for spanish, english in known[source].links:
            weights[english, spanish + marks[source]] = 1
        perfect.append(weights)
    assert alignment_accuracy(perfect, pairs) == 1
    assert alignment_accuracy([each.T for each in perfect], [pair[::-1] for pair in pairs]) == 1


def test_long_pairs_are_measured_in_small_batches_and_others_as_in_training(translator):
    long = [("el gato " * count, "the cat") for count in (30, 40, 50, 60)]
    tokenizers = translator.source_tokenizer, translator.target_tokenizer
    shapes = [tuple(source.shape) for source, _ in batches_up_to(100, EncodedPairs(long, *tokenizers), batch_size=4)]
    assert shapes == [(1, 120)] * 4
    short = EncodedPairs(load_corpus("tiny", held_out=0.1).test, *tokenizers)
    for batch, same in zip(batches_up_to(8 * 61, short, 8), short.batches(8, seed=0, epoch=0), strict=True):
        assert all(np.array_equal(*sides) for sides in zip(batch, same, strict=True))


def test_it_measures_what_sacrebleu_measures():
    sources = ["a b c", "a b c d e f", "a b c d e f g h i j k l"]
    references = ["The cat is here.", "It is very cold here today.", "One two three four five six seven eight nine."]
    translations = ["The cat is here.", "It is cold here today.", "one two three four five six seven nine."]
    metrics = measure_text(sources, translations, references)
    assert metrics["bleu"] == sacrebleu.corpus_bleu(translations, [references]).score
    assert metrics["chrf"] == sacrebleu.corpus_chrf(translations, [references]).score
    assert metrics["exact_match"] == pytest.approx(1 / 3)
    assert metrics["bleu_1_to_5_words"] == pytest.approx(100)
    assert metrics["bleu_over_10_words"] == sacrebleu.corpus_bleu(translations[2:], [references[2:]]).score


def test_a_run_that_was_moved_measures_again_what_training_saw(trained, written, tmp_path):
    shutil.copytree(trained.path, tmp_path / "elsewhere")
    metrics = evaluate(EvaluateOptions(run=tmp_path / "elsewhere", split="validation", beam=2))
    row = min(trained.read_metrics(), key=lambda row: row["val_loss"])
    assert metrics["nats_per_token"] == pytest.approx(row["val_loss"], abs=1e-5)
    assert metrics["accuracy"] == pytest.approx(row["val_accuracy"], abs=1e-5)
    assert metrics["perplexity"] == pytest.approx(np.exp(row["val_loss"]), rel=1e-4)


def test_the_rule_tells_split_signature_and_search(trained, metrics, written):
    assert written.split == "test" and written.metrics == metrics
    for part in ("289 test pairs", "beam 5", "nrefs:1|case:mixed|eff:no|tok:13a", "chrF nrefs:1|case:mixed"):
        assert part in written.rule
    assert (trained.samples / "test.txt").read_text().count("reference") == 10


def test_translations_are_searched_as_the_flags_say(trained, translator, tmp_path, monkeypatch):
    searches = []

    def translate(sentences, *search):
        searches.append(search)
        return [[SimpleNamespace(text="x")] for _ in sentences]

    monkeypatch.setattr(SentenceTranslator, "load", lambda *_: translator)
    monkeypatch.setattr(translator, "translate", translate)
    (tmp_path / "test.tsv").write_text("El gato.\tThe cat.\n")
    search = {"beam": 3, "length_penalty": 0.5, "write": False}
    evaluate(EvaluateOptions(run=trained.path, test_data=str(tmp_path / "test.tsv"), **search))
    assert searches == [(1, 0.5), (3, 0.5)]


def test_an_overlap_of_the_held_out_pairs_with_training_is_told(monkeypatch):
    corpus = SimpleNamespace(train=[("a", "b")], test=[("a", "x"), ("y", "b"), ("q", "r")], fingerprint={})
    monkeypatch.setattr(measuring, "load_corpus", lambda *_, **__: corpus)
    run = SimpleNamespace(data_to_use=lambda *_: "tiny", require_training_data=lambda *_: None)
    _, part = held_out_pairs(run, Config(), EvaluateOptions(run="x"))
    assert part == "all 3 test pairs, 2 of which share a sentence with training"


def test_ten_sentences_from_the_shortest_to_the_longest():
    texts = ["x" * n for n in range(1, 31)]
    shown = format_samples(texts, texts, texts).splitlines()[::4]
    assert len(shown) == 10 and shown == sorted(shown, key=len)


def test_a_sample_says_which_text_is_the_models():
    assert format_samples(["El gato."], ["The dog."], ["The cat."]) == (
        "El gato.\n  model      The dog.\n  reference  The cat.\n"
    )


def test_other_data_is_refused(trained, tmp_path):
    (tmp_path / "x.tsv").write_text("".join(f"a{n}\tb{n}\n" for n in range(99)))
    with pytest.raises(UserError, match="not the data that"):
        evaluate(EvaluateOptions(run=trained.path, data=str(tmp_path / "x.tsv")))


def test_a_test_file_of_ones_own_is_measured_whole_repetitions_included(trained, tmp_path):
    pairs = [pair for pair in load_corpus("tiny", held_out=0.1).test if pair[0].startswith("El")][:6]
    rows = [*pairs, pairs[0]]
    content = "".join(f"{target}\té\t{source}\n" for source, target in rows)
    (tmp_path / "test.tsv").write_text(content, encoding="cp1252")
    before = trained.evaluation.read_bytes() if trained.evaluation.exists() else None
    reading = {"test_data": str(tmp_path / "test.tsv"), "columns": "3,1", "encoding": "cp1252"}
    metrics = evaluate(EvaluateOptions(run=trained.path, **reading))
    assert metrics["greedy"]["exact_match"] > 0.8 and metrics["beam"]["ter"] < 20 and "alignment" not in metrics
    written = json.loads(trained.test_data_evaluation.read_text())
    assert written["metrics"] == metrics and written["split"] == "test-data"
    assert f"{tmp_path}/test.tsv: all 7 pairs" in written["rule"] and "TER" in written["rule"]
    assert before == (trained.evaluation.read_bytes() if trained.evaluation.exists() else None)


def test_the_test_part_of_a_folder_is_measured_alone(trained, tmp_path):
    pairs = load_corpus("tiny", held_out=0.1).test
    for part, chosen in (("train", pairs[:50]), ("test", pairs[50:54])):
        for suffix, side in (("es", 0), ("en", 1)):
            (tmp_path / f"{part}.{suffix}").write_text("".join(f"{pair[side]}\n" for pair in chosen))
    loaded = load_test_pairs(str(tmp_path), ("es", "en"))
    assert loaded == pairs[50:54]


@pytest.mark.parametrize("parts", [["test"], ["train", "dev"]])
def test_a_folder_of_test_data_needs_no_training_part_and_without_a_test_part_all_are_measured(tmp_path, parts):
    for part in parts:
        (tmp_path / f"{part}.tsv").write_text(f"{part}\tx\n")
    assert sorted(load_test_pairs(str(tmp_path), ("1", "2"))) == sorted((part, "x") for part in parts)


def test_a_test_file_without_pairs_is_one_line(tmp_path):
    (tmp_path / "test.tsv").write_text("a\tb\n" * 3 + "\t\n" * 3)
    with pytest.raises(UserError, match="--test-data"):
        load_test_pairs(str(tmp_path / "test.tsv"), ("1", "2"))


@pytest.mark.parametrize("kind", ["data", "test_data"])
def test_published_pairs_are_read_from_the_download_cache_that_is_named(trained, tmp_path, kind):
    with pytest.raises(UserError, match=str(tmp_path)):
        evaluate(EvaluateOptions(run=trained.path, **{kind: "spa-eng"}, data_dir=tmp_path))


def test_ter_is_sacrebleu_s():
    translations, references = ["the cat sees a house", "no"], ["the cat sees the house", "no"]
    expected = sacrebleu.corpus_ter(translations, [references]).score
    assert measure_text(["x", "y"], translations, references)["ter"] == expected == pytest.approx(100 / 6)
    assert measure_text(["x"], ["the cat"], ["The cat"])["ter"] == 50
    assert measure_text(["x"], ["the cat"], ["the cat sees the house"])["ter"] == 60  # of the words of the reference


def test_ter_counts_letters_where_no_spaces_are_between_words():
    assert measure_text(["x"], ["我喜欢狗"], ["我喜欢猫"])["ter"] == 25
    rule = protocol("all pairs", ["我喜欢猫"], EvaluateOptions(run="x"))
    assert "TER nrefs:1|case:mixed" in rule and " of letters; " in rule


def test_columns_that_are_named_for_test_data_are_not_swapped_by_a_reversed_run():
    config = Config(reverse=True, columns="en,de")
    for columns, expected in ((None, ("de", "en")), ("en,es", ("en", "es"))):
        options = EvaluateOptions(run=Path("run"), test_data="t.tsv", columns=columns)
        assert options.for_test_data(config).corpus()["columns"] == expected
