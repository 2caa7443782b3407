"""Training that goes on, in every example: resumed, extended, and started from the weights of another run.

In bfloat16, as training is by default where the hardware has it.
"""

import json
from dataclasses import replace
from importlib import import_module

import numpy as np
import pytest

from common.app.cli import main
from common.errors import UserError
from common.training import trainer
from common.training.checkpoints import named_variables, read_best
from common.training.run_directory import RunDirectory
from examples.__main__ import example_names
from tests.nightly import some_nightly

LOADERS = {
    "text_generation": "TextGenerator",
    "dcgan": "ImageGenerator",
    "nmt_attention": "SentenceTranslator",
    "image_captioning": "PhotoCaptioner",
}
FEWER_SYMBOLS = {  # settings of the second run, with which it has fewer symbols
    "text_generation": {},
    "dcgan": {},
    "nmt_attention": {"min_count": 300},
    "image_captioning": {"min_count": 3000},
}
VOCABULARIES = {  # files, and the weights with a row or column for each symbol
    "text_generation": {"vocabulary": [("embedding/embeddings", 0), ("logits/kernel", 1), ("logits/bias", 0)]},
    "dcgan": {},
    "nmt_attention": {
        "vocabulary_source": [("encoder/source_embedding/embeddings", 0)],
        "vocabulary_target": [("decoder/target_embedding/embeddings", 0)],
    },
    "image_captioning": {
        "vocabulary": [
            ("embedding/embeddings", 0),
            ("deep_output/logits/kernel", 1),
            ("deep_output/logits/bias", 0),
            ("auxiliary_logits/kernel", 1),
            ("auxiliary_logits/bias", 0),
        ]
    },
}
SHORT = {"epochs": 1, "steps_per_epoch": 3, "precision": "bfloat16"}


@pytest.fixture(scope="module", params=some_nightly(example_names(), "dcgan", "nmt_attention", "image_captioning"))
def trained(request, tmp_path_factory):
    """The name of an example, and a run of three steps."""
    path = tmp_path_factory.mktemp(request.param) / "source"
    train_tiny(request.param, path)
    return request.param, RunDirectory(path)


def train_tiny(example, path, **settings):
    config = import_module(f"examples.{example}.config").PRESETS["tiny"]
    import_module(f"examples.{example}.train").train(replace(config, run_dir=path, **SHORT | settings))


class Captured(Exception):
    """A model and its run, as they are before the first step."""


@pytest.fixture
def before_the_first_step(monkeypatch):
    """Let a training raise `Captured` in place of its steps."""

    def capture(self, *_):
        raise Captured(self.model, self.run)

    monkeypatch.setattr(trainer.Trainer, "fit", capture)


def steps(run):
    return [row["step"] for row in run.read_metrics()]


def test_a_run_in_bfloat16_is_extended_and_loads(trained):
    example, run = trained
    assert steps(run) == [3]
    train_tiny(example, run.path, epochs=2)
    assert steps(run) == [3, 6] and run.read_config().settings["epochs"] == 2
    train_tiny(example, run.path, epochs=2)
    assert steps(run) == [3, 6]
    assert getattr(import_module(f"examples.{example}.demo"), LOADERS[example]).load(run)


def test_a_new_run_starts_from_the_weights_of_another_symbol_by_symbol(
    trained, tmp_path, before_the_first_step, capsys
):
    example, source = trained
    settings = FEWER_SYMBOLS[example]
    if example == "text_generation":
        (tmp_path / "mine.txt").write_text("Where art thou, ðe ghost? " * 40)
        settings = {"data": str(tmp_path / "mine.txt")}
    with pytest.raises(Captured) as captured:
        train_tiny(example, tmp_path / "new", init_from=str(source.path), seed=5, **settings)
    model, run = captured.value.args
    assert "initialised with the weights of" in capsys.readouterr().out
    here = {name: np.array(variable) for name, variable in named_variables(model).items()}
    there = {name.removeprefix("model/"): value for name, value in read_best(source.checkpoints, 1 << 30)[1].items()}
    by_symbol = set()
    for file, weights in VOCABULARIES[example].items():
        old, new = (json.loads((folder / f"{file}.json").read_text()) for folder in (source.path, run.path))
        assert len(new) < len(old)
        for name, axis in weights:
            mean = there[name].mean(axis=axis)
            for number, symbol in enumerate(new):
                expected = np.take(there[name], old.index(symbol), axis) if symbol in old else mean
                assert np.array_equal(np.take(here[name], number, axis), expected), (name, symbol)
            by_symbol.add(name)
    for variable in model.trainable_variables:
        [name] = [name for name, value in named_variables(model).items() if value is variable.value]
        assert name in by_symbol or np.array_equal(here[name], there[name]), name


def test_the_architecture_comes_from_the_other_run(trained, tmp_path, monkeypatch):
    example, source = trained
    module = import_module(f"examples.{example}.__main__")
    configs = []
    monkeypatch.setattr(
        import_module(f"examples.{example}.train"), "inherit_settings", lambda config: configs.append(config) or 1 / 0
    )
    arguments = ["train", "--init-from", str(source.path), "--run-dir", str(tmp_path / "new")]
    with pytest.raises(ZeroDivisionError):
        main("program", "", module.COMMANDS, arguments)
    monkeypatch.undo()
    from common.training.init_from import inherit_settings

    inherited = inherit_settings(configs[0])
    stored = source.read_config()
    for name in inherited.INHERITED:
        assert getattr(inherited, name) in (stored.settings[name], stored.data.get(name)), name
    assert inherited.adaptable == ()
    name = next(name for name in inherited.INHERITED if isinstance(getattr(inherited, name), int))
    other = replace(configs[0], adaptable=tuple({*configs[0].adaptable} - {name}), **{name: 9})
    with pytest.raises(UserError, match=rf"^--{name.replace('_', '-')}: expected .* got 9; leave the flag out"):
        inherit_settings(other)


def test_a_run_cannot_start_from_itself_or_from_another_example(trained, tmp_path):
    example, source = trained
    other = next(name for name in example_names() if name != example)
    with pytest.raises(UserError, match="the run itself; name a new folder"):
        train_tiny(example, source.path, init_from=str(source.path))
    with pytest.raises(UserError, match=f"a run of {example}, expected one of {other}"):
        train_tiny(other, tmp_path / "new", init_from=str(source.path))
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("example", "flag", "file", "name"),
    [
        ("nmt_attention", "source_embeddings", "vocabulary_source", "encoder/source_embedding/embeddings"),
        ("nmt_attention", "target_embeddings", "vocabulary_target", "decoder/target_embedding/embeddings"),
        ("image_captioning", "embeddings", "vocabulary", "embedding/embeddings"),
    ],
)
def test_word_vectors_are_the_first_embeddings(example, flag, file, name, tmp_path, before_the_first_step, capsys):
    vectors = {"red": 1.0, "house": 2.0, "circle": 3.0, ".": 4.0, "zebra": 5.0, "casa": 6.0}
    (tmp_path / "vectors.txt").write_text(
        "".join(f"{word} {value} {' '.join(['0'] * 31)}\n" for word, value in vectors.items())
    )
    with pytest.raises(Captured) as captured:
        train_tiny(example, tmp_path / "run", **{flag: str(tmp_path / "vectors.txt")})
    model, run = captured.value.args
    symbols = [symbol.strip("￭") for symbol in json.loads((run.path / f"{file}.json").read_text())]
    rows = np.array(named_variables(model)[name])
    found = [word for word in vectors if word in symbols]
    scale = np.sqrt(np.mean([vectors[word] ** 2 / 32 for word in found]))
    for word in found:
        np.testing.assert_allclose(rows[symbols.index(word)], [vectors[word] / scale, *[0] * 31], rtol=1e-5)
    assert len(found) >= 2 and f"has vectors of {len(found)} of {len(symbols)} " in capsys.readouterr().err
    assert rows[2].std() > 0.5, "others are as they were"
