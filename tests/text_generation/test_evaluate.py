import math
import shutil

import pytest

from common.errors import UserError
from examples.text_generation.config import EvaluateOptions
from examples.text_generation.evaluate import evaluate


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
    with pytest.raises(UserError, match="not the text that"):
        evaluate(EvaluateOptions(run=trained.path, data=str(tmp_path / "other.txt")))


def test_a_run_that_was_moved_still_measures(trained, tmp_path):
    shutil.copytree(trained.path, tmp_path / "elsewhere")
    assert evaluate(EvaluateOptions(run=tmp_path / "elsewhere")) == evaluate(EvaluateOptions(run=trained.path))
