import json
import math
import shutil

import pytest

from common.data.pieces import PieceVocabulary
from common.data.text_files import read_text
from common.errors import UserError
from common.training import trainer
from common.training.run_directory import RunDirectory
from examples.text_generation import evaluate as measuring
from examples.text_generation.config import Config, EvaluateOptions
from examples.text_generation.data import TINY_PLAY
from examples.text_generation.evaluate import WINDOW, evaluate
from examples.text_generation.evaluate import test_ids as ids_to_measure


def test_it_measures_again_what_training_saw(trained):
    metrics = evaluate(EvaluateOptions(run=trained.path))
    best = min(row["val_loss"] for row in trained.read_metrics())
    assert metrics["nats_per_char"] == pytest.approx(best, abs=1e-6)
    assert metrics["bits_per_char"] == pytest.approx(best / math.log(2), abs=1e-6)
    assert metrics["perplexity"] == pytest.approx(math.exp(best), rel=1e-6)
    written = trained.read_evaluation()
    assert written.metrics == metrics and "state carried" in written.rule


def test_another_text_is_refused(trained, tmp_path):
    (tmp_path / "other.txt").write_text("Quite another text. " * 100)
    with pytest.raises(UserError, match="not the data that .*characters [0-9]+ there, 2000 now; sha256"):
        evaluate(EvaluateOptions(run=trained.path, data=str(tmp_path / "other.txt")))


def test_a_run_that_was_moved_still_measures(trained, tmp_path):
    shutil.copytree(trained.path, tmp_path / "elsewhere")
    assert evaluate(EvaluateOptions(run=tmp_path / "elsewhere")) == evaluate(EvaluateOptions(run=trained.path))


def test_the_second_rule_starts_each_window_from_a_zero_state(trained, tmp_path, monkeypatch):
    seen = []

    def measure(model, data):
        batches = [*data.as_numpy_iterator()]
        seen.append((batches[0][0].shape[1], [bool(is_start) for *_, is_start in batches]))
        return {"loss": float(len(seen))}

    monkeypatch.setattr(trainer, "evaluate", measure)
    (tmp_path / "test.txt").write_text("MIRA: " * 3000)
    metrics = evaluate(EvaluateOptions(run=trained.path, test_data=str(tmp_path / "test.txt"), write=False))
    assert (metrics["nats_per_char"], metrics["windows_256_nats_per_char"]) == (1, 2)
    (_, carried), (window, starts) = seen
    assert carried == [True] + [False] * (len(carried) - 1) and window == WINDOW and starts == [True] * 5


@pytest.mark.parametrize("kind", ["data", "test_data"])
def test_published_texts_are_read_from_the_download_cache_that_is_named(trained, tmp_path, kind):
    with pytest.raises(UserError, match=str(tmp_path)):
        evaluate(EvaluateOptions(run=trained.path, **{kind: "shakespeare"}, data_dir=tmp_path))


def test_any_text_can_be_measured_and_what_the_model_does_not_know_is_told(trained, tmp_path, capsys):
    text = read_text(TINY_PLAY)
    held_out = text[int(0.9 * len(text)) :]
    (tmp_path / "test.txt").write_text(f"\u00e9{held_out}\u4e2d\u00e9", encoding="utf-16-le")
    options = EvaluateOptions(run=trained.path, test_data=str(tmp_path / "test.txt"), encoding="utf-16-le")
    expected = evaluate(EvaluateOptions(run=trained.path))
    before = trained.evaluation.read_bytes()
    metrics = evaluate(options)
    count = len(held_out) + 3
    assert f"3 of {count} characters are left out, which the model does not know" in capsys.readouterr().err
    assert metrics == pytest.approx(expected, rel=1e-6)
    characters, size = len(held_out) - 1, len(held_out[1:].encode())
    assert metrics["bits_per_byte"] == pytest.approx(metrics["bits_per_char"] * characters / size)
    written = json.loads(trained.test_data_evaluation.read_text())
    assert written["metrics"] == metrics
    assert "mean -ln p over the whole text without 3 characters that the model does not know, " in written["rule"]
    assert f"know, {characters} characters" in written["rule"]
    assert "best checkpoint by the loss on the validation text; windows" in written["rule"]
    assert trained.evaluation.read_bytes() == before
    (tmp_path / "test.txt").write_text("\u4e2d\u4e2d\u4e2d", encoding="utf-16-le")
    with pytest.raises(UserError, match="expected two characters that the model knows, got fewer"):
        evaluate(options)


def test_bits_per_byte_count_each_byte_of_a_letter(trained, tmp_path, monkeypatch):
    run = RunDirectory(shutil.copytree(trained.path, tmp_path / "run"))
    run.vocabulary.write_text(run.vocabulary.read_text().replace('"e"', '"é"'))
    (tmp_path / "test.txt").write_text("é" * 3000)
    monkeypatch.setattr(trainer, "evaluate", lambda *_: {"loss": math.log(2)})
    metrics = evaluate(EvaluateOptions(run=run.path, test_data=str(tmp_path / "test.txt"), write=False))
    assert (metrics["bits_per_char"], metrics["bits_per_byte"]) == pytest.approx((1, 0.5))


def test_of_a_data_set_with_a_test_split_only_that_is_measured(monkeypatch):
    asked = []
    monkeypatch.setattr(measuring, "load_text", lambda *_, **options: asked.append(options) or "abab")
    options = EvaluateOptions(run="run", test_data="tfds:toy_plays")
    ids, left_out = ids_to_measure(options, Config(), PieceVocabulary(["a", "b"]))
    assert asked == [{"only_test": True}] and ids.tolist() == [0, 1, 0, 1] and left_out == 0
