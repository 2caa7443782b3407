from dataclasses import replace

import pytest
import tensorflow as tf

from common.nn.adam import Adam
from examples.nmt_attention.config import PRESETS, Config, EvaluateOptions
from examples.nmt_attention.demo import SentenceTranslator
from examples.nmt_attention.evaluate import evaluate
from examples.nmt_attention.model import Translator
from examples.nmt_attention.train import build_model, build_optimizer, build_schedule, train


def built(**settings):
    config = Config(embedding_dim=4, encoder_units=3, decoder_units=5, attention_units=2, **settings)
    model = build_model(config, source_size=9, target_size=7)
    optimizer = build_optimizer(config, build_schedule(config, total_steps=10))
    optimizer.build(model.trainable_variables)
    return model, optimizer


def test_muon_steps_all_matrices_but_the_embeddings():
    model, optimizer = built()
    for variable, second in zip(model.trainable_variables, optimizer.adam_velocities, strict=True):
        is_muons = variable.path.endswith("kernel") and "energy" not in variable.path
        assert (second is None) == is_muons, variable.path


def test_the_gates_of_the_decoder_are_three_matrices_each():
    model, optimizer = built()
    gates = {variable.path: count for variable, count in zip(model.trainable_variables, optimizer._gates, strict=True)}
    split = [path for path, count in gates.items() if count == 3 and path.endswith("kernel")]
    names = ["forward_gru", "backward_gru", "attention_gru_cell"]
    assert all(any(name in path for name in names) for path in split) and len(split) == 7


def test_adam_steps_everything_when_asked():
    _, optimizer = built(optimizer="adam")
    assert type(optimizer) is Adam


def test_both_optimizers_are_set_as_the_flags_say():
    configs = [Config(optimizer=kind, clip_norm=0.5, beta_2=0.9, muon_rms_rate=0.3) for kind in ("adam", "muon")]
    adam, muon = (build_optimizer(config, build_schedule(config)) for config in configs)
    assert adam.global_clipnorm == muon.global_clipnorm == 0.5 and adam.beta_2 == muon.adam_betas[1] == 0.9
    assert muon.rms_rate() == 0.3


class WithTemperature(Translator):
    """A model with a weight and an equation of its own."""

    def __init__(self, *sizes, **settings):
        super().__init__(*sizes, **settings)
        self.temperature = self.add_weight(shape=(), initializer="ones", name="temperature")

    def call(self, source, inputs, training=False):
        logits, weights = super().call(source, inputs, training=training)
        return logits / (3 * self.temperature), weights


def test_the_class_that_was_passed_is_trained_loaded_and_evaluated(tmp_path):
    config = replace(PRESETS["tiny"], epochs=1, steps_per_epoch=10, held_out=0.02, run_dir=tmp_path / "run")
    run = train(config, WithTemperature)
    model = SentenceTranslator.load(run, WithTemperature).model
    assert isinstance(model, WithTemperature) and float(tf.convert_to_tensor(model.temperature)) != 1
    options = EvaluateOptions(run=run.path, beam=1, write=False)
    measured, of_another_class = (evaluate(options, each)["nats_per_token"] for each in (WithTemperature, Translator))
    [row] = run.read_metrics()
    on_validation = evaluate(replace(options, split="validation"), WithTemperature)["nats_per_token"]
    assert on_validation == pytest.approx(row["val_loss"], abs=1e-3) and abs(measured - of_another_class) > 0.01
