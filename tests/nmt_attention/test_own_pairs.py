"""A user's pairs from the file to the exported model: subwords of English to characters of Chinese."""

import json

import numpy as np
import pytest
import tensorflow as tf
from sacrebleu.metrics import BLEU

from common.app.cli import main
from common.training.run_directory import RunDirectory
from examples.nmt_attention.__main__ import COMMANDS
from examples.nmt_attention.demo import SentenceTranslator
from examples.nmt_attention.evaluate import bleu_tokenizer, measure_text
from examples.nmt_attention.export import export
from tests.own_pairs import own_pairs


def command(*arguments):
    return main("python -m examples.nmt_attention", "", COMMANDS, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of own pairs, whose plan is chosen but for the number of epochs."""
    folder = tmp_path_factory.mktemp("own")
    rows = [json.dumps({"translation": {"en": en, "zh": zh}}) for zh, en in own_pairs("chinese", 600)]
    (folder / "pairs.jsonl").write_text("\n".join(rows))
    flags = ["--preset", "tiny", "--data", folder / "pairs.jsonl", "--columns", "en,zh", "--run-dir", folder / "run"]
    assert command("train", *flags, "--tokens", "subwords,characters", "--epochs", 12) == 0
    return RunDirectory(folder / "run")


@pytest.fixture(scope="module")
def translator(trained):
    return SentenceTranslator.load(trained)


def test_the_settings_hold_the_plan_that_was_chosen(trained):
    settings = trained.read_config().settings
    assert (settings["tokens"], settings["epochs"], settings["batch_size"]) == ("subwords,characters", 12, 16)
    assert 0.05 < settings["held_out"] <= 0.1 and settings["min_count"] == 1 and "adaptable" not in settings


def test_sentences_of_characters_are_learnt_and_measured(trained, capsys):
    assert command("evaluate", "--run", trained.path, "--beam", 2, "--data", trained.path.parent / "pairs.jsonl") == 0
    capsys.readouterr()
    evaluation = trained.read_evaluation()
    assert evaluation.metrics["greedy"]["bleu"] > 60 and "tok:zh" in evaluation.rule
    assert "bleu_6_to_10_words" in evaluation.metrics["greedy"]


def test_tokens_are_shown_as_they_are_and_text_has_no_marks(translator):
    [[best]] = translator.translate(["The old teacher likes the new apple."])
    assert best.text == "".join(best.tokens) and " " not in best.text and best.text.endswith("。")
    assert best.source_tokens[:2] == ["▁The", "▁old"]
    assert best.attention.shape == (len(best.tokens), len(best.source_tokens))


def test_attention_maps_of_the_training_have_labels_of_each_token(trained):
    entry = json.loads((trained.samples / "epoch_0012.json").read_text())
    assert np.shape(entry["attention"]) == (len(entry["target"]), len(entry["source"]))
    assert all(len(label) == 1 for label in entry["target"]) and entry["source"][0].startswith("▁")


SENTENCES = [
    "The old teacher likes the new apple.",
    "the  cat sees a zebra 🙂!",
    "",
    " ",
    "THE HOUSE",
    "猫 ▁ ￭",
    "x" * 40,
]


def test_the_exported_model_translates_the_same(translator, tmp_path):
    export(translator, tmp_path / "model", "maker")
    served = tf.saved_model.load(str(tmp_path / "model")).signatures["serving_default"]
    out = served(sentences=tf.constant(SENTENCES))
    found = [best[0] if best else None for best in translator.translate(SENTENCES)]
    assert [text.decode() for text in out["translations"].numpy()] == [best.text if best else "" for best in found]
    for row, best in zip(out["source_tokens"].numpy(), found, strict=True):
        assert [token.decode() for token in row if token] == (best.source_tokens if best else [])


def test_near_right_sentences_of_chinese_are_not_measured_as_all_wrong():
    references = ["我昨天在学校看见了一只漂亮的小猫。", "他喜欢红色的苹果和新的书。"] * 20
    translations = ["我昨天在学校看见了一只小猫。", "他喜欢红色的苹果和书。"] * 20
    assert BLEU().corpus_score(translations, [references]).score == 0
    metrics = measure_text(["x y"] * 40, translations, references, bleu_tokenizer(references))
    assert metrics["bleu"] > 60


@pytest.mark.parametrize(
    ("text", "name"),
    [("The cat.", "13a"), ("我喜欢猫。", "zh"), ("私は猫が好きです。", "char"), ("ฉันรักแมว", "char"), ("قطة", "13a")],
)
def test_bleu_cuts_each_language_by_its_rules(text, name):
    assert bleu_tokenizer([text]) == name
