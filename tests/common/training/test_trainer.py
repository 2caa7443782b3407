import contextlib
import os
import signal
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from common.errors import Interrupted, UserError
from common.training import checkpoints, trainer
from common.training.run_directory import RunDirectory
from common.training.samples import sample_path
from tests.toy import (
    BATCHES,
    EPOCHS,
    Died,
    Recorder,
    build,
    examples,
    fit,
    make_trainer,
    same,
    train_data,
    validation_data,
)


def test_the_loss_falls(uninterrupted):
    _, _, rows = uninterrupted
    assert rows[-1]["val_loss"] < rows[0]["val_loss"]
    assert [row["epoch"] for row in rows] == [1, 2, 3] and [row["step"] for row in rows] == [5, 10, 15]


def test_an_epoch_reports_the_mean_over_its_batches(uninterrupted):
    losses, _, rows = uninterrupted
    first_epoch = [float.fromhex(loss) for loss in losses[:BATCHES]]
    assert rows[0]["loss"] == pytest.approx(np.mean(first_epoch), rel=1e-12)


def test_validation_weighs_every_example_alike(tmp_path):
    model = build()
    x, y = (np.concatenate(parts) for parts in zip(*validation_data().as_numpy_iterator(), strict=True))
    expected = np.mean((model.predict(x, verbose=0) - y) ** 2)
    assert trainer.evaluate(model, validation_data())["loss"] == pytest.approx(expected, rel=1e-5)


def test_eager_gives_the_same_losses(tmp_path, uninterrupted):
    losses, _ = fit(tmp_path, eager=True, steps_per_epoch=2, epochs=1)
    compiled = [float.fromhex(loss) for loss in uninterrupted[0][:2]]
    assert [float.fromhex(loss) for loss in losses] == pytest.approx(compiled, abs=1e-4)


def test_eager_the_steps_run_in_python(tmp_path):
    model, calls = build(), []
    step = model.train_step
    model.train_step = lambda batch: calls.append(tf.executing_eagerly()) or step(batch)
    make_trainer(tmp_path, model, eager=True, epochs=1).fit(train_data)
    assert calls == [True] * BATCHES


class Slow(keras.callbacks.Callback):
    """Moves the clock of the training loop: 10 s in a step, 100 s in validation, 1000 s at the end of an epoch."""

    def __init__(self, monkeypatch):
        super().__init__()
        self.now = 0.0
        monkeypatch.setattr(trainer, "time", SimpleNamespace(monotonic=lambda: self.now))

    def on_train_batch_begin(self, batch, logs=None):
        self.now += 10

    def on_test_begin(self, logs=None):
        self.now += 100

    def on_epoch_end(self, epoch, logs=None):
        self.now += 1000


def test_the_seconds_of_an_epoch_are_those_of_training_and_validation(tmp_path, monkeypatch):
    slow = make_trainer(tmp_path, build(), Slow(monkeypatch), epochs=2)
    assert [row["seconds"] for row in slow.fit(train_data, validation_data())] == [150, 300]


def test_checkpoints_are_as_far_apart_as_asked(tmp_path, monkeypatch):
    slow, saved = make_trainer(tmp_path, build(), Slow(monkeypatch), epochs=1, checkpoint_seconds=30), []
    slow.checkpoints.save = lambda kind, step, *_, **__: saved.append(step)
    slow.fit(lambda epoch: tf.data.Dataset.from_tensor_slices(examples()).batch(4))
    assert saved == [4, 8, 10, 10]  # the last two are the best and the latest


def test_when_the_time_is_up_the_run_is_saved_and_resumes(tmp_path, uninterrupted, capsys, monkeypatch):
    monkeypatch.setattr(trainer, "MAX_STEPS_TO_READ", 1)

    class TimeIsUp(Recorder):
        def on_train_batch_end(self, batch, logs=None):
            super().on_train_batch_end(batch, logs)
            if len(self.losses) == BATCHES + 2:
                stopped.deadline = 0

    first, _ = fit(tmp_path, max_minutes=1e-9)
    recorder = TimeIsUp()
    stopped = make_trainer(tmp_path, build(), recorder, max_minutes=1e3, checkpoint_seconds=1e9)
    stopped.fit(train_data, validation_data())
    assert f"time is up, saved at step {BATCHES + 2}; the same command" in capsys.readouterr().out
    rest, weights = fit(tmp_path)
    assert first == [] and len(recorder.losses) == BATCHES + 2 and recorder.losses + rest == uninterrupted[0]
    assert same(weights, uninterrupted[1])


def test_the_rows_of_a_resumed_run_have_whole_numbers_too(tmp_path):
    fit(tmp_path, die_after=7)
    fit(tmp_path)
    rows = (tmp_path / "metrics.csv").read_text().splitlines()
    assert [row.split(",")[:2] for row in rows[1:]] == [["1", "5"], ["2", "10"], ["3", "15"]]


class FixedBudget:
    """Decides at its second step that there is time for seven in all, which is in the second epoch."""

    def __init__(self, deadline, max_steps, steps_per_epoch):
        self.calls = 0

    def end_epoch(self, seconds, now):
        return 0

    def steps_that_fit(self, now):
        self.calls += 1
        return 5 if self.calls == 2 else 0


def fit_planned(path, die_after=None, max_minutes=None, **options):
    model, recorder = build(), Recorder(die_after)
    trainer = make_trainer(path, model, recorder, schedule=model.schedule, max_minutes=max_minutes, **options)
    with contextlib.suppress(Died):
        trainer.fit(train_data, validation_data())
    return recorder.losses, model


def test_a_run_with_little_time_ends_where_its_rate_does(tmp_path, uninterrupted, monkeypatch, capsys):
    monkeypatch.setattr(trainer, "TimeBudget", FixedBudget)
    losses, model = fit_planned(tmp_path, max_minutes=1)
    assert [row["step"] for row in RunDirectory(tmp_path).read_metrics()] == [5, 7]
    assert model.schedule.total_steps.numpy() == 7 and model.schedule(7).numpy() == pytest.approx(0, abs=1e-8)
    assert losses[:2] == uninterrupted[0][:2] and losses[3:] != uninterrupted[0][3:7]
    assert "7 steps, the most that fit into the time" in capsys.readouterr().out
    assert fit_planned(tmp_path, max_minutes=1)[0] == []


def test_the_end_of_the_first_epoch_shortens_the_plan_once(tmp_path, monkeypatch):
    class LongEnds(FixedBudget):
        def end_epoch(self, seconds, now):
            assert seconds > 0
            return 1

    monkeypatch.setattr(trainer, "TimeBudget", LongEnds)
    _, model = fit_planned(tmp_path, max_minutes=1)
    assert [row["step"] for row in RunDirectory(tmp_path).read_metrics()] == [5, 6]
    assert model.schedule.total_steps.numpy() == 6


@pytest.mark.parametrize("more", [1, 2])
def test_a_plan_may_end_in_its_own_epoch_between_two_readings(tmp_path, monkeypatch, more):
    monkeypatch.setattr(trainer, "READ_SECONDS", 1e9)  # so that ten steps are read together

    class ShortBudget(FixedBudget):
        def steps_that_fit(self, now):
            return more if super().steps_that_fit(now) else 0

    monkeypatch.setattr(trainer, "TimeBudget", ShortBudget)
    losses, _ = fit_planned(tmp_path, max_minutes=1, checkpoint_seconds=1e9)
    assert len(losses) == 2 + more and [row["step"] for row in RunDirectory(tmp_path).read_metrics()] == [2 + more]


@pytest.mark.parametrize("die_after", [3, 5, 7])
def test_a_plan_outlives_a_kill(tmp_path, monkeypatch, die_after):
    monkeypatch.setattr(trainer, "TimeBudget", FixedBudget)
    expected, whole = fit_planned(tmp_path / "whole", max_minutes=1)
    before, _ = fit_planned(tmp_path / "killed", die_after, max_minutes=1)
    after, resumed = fit_planned(tmp_path / "killed")
    assert before + after[1:] == expected
    assert same([v.numpy() for v in resumed.variables], [v.numpy() for v in whole.variables])


def test_a_run_told_to_stop_at_the_last_step_planned_only_validates_when_resumed(tmp_path, monkeypatch):
    monkeypatch.setattr(trainer, "TimeBudget", FixedBudget)

    class Send(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if model.optimizer.iterations == 6:
                os.kill(os.getpid(), signal.SIGTERM)

    model = build()
    with pytest.raises(Interrupted):
        make_trainer(tmp_path, model, Send(), schedule=model.schedule, max_minutes=1).fit(train_data, validation_data())
    losses, _ = fit_planned(tmp_path)
    assert losses == [] and [row["step"] for row in RunDirectory(tmp_path).read_metrics()] == [5, 7]


def test_a_run_begun_without_a_plan_stops_when_the_time_is_up(tmp_path, uninterrupted):
    before, _ = fit(tmp_path, die_after=2)
    assert fit_planned(tmp_path, max_minutes=1e-9)[0] == []
    assert before + fit_planned(tmp_path)[0][1:] == uninterrupted[0]


@pytest.mark.parametrize("bad", [2, 3, 4])
def test_a_loss_that_is_not_finite_is_found_at_its_step_though_results_are_read_together(bad, tmp_path, monkeypatch):
    monkeypatch.setattr(trainer, "READ_SECONDS", 1e9)
    model, (x, y) = build(), examples()
    y[8 * (bad - 1) : 8 * bad] = np.inf  # the batch of this number; the first is read alone, the others together
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(8)
    with pytest.raises(UserError, match=rf"loss is inf at step {bad} \(epoch 1, batch {bad}\)"):
        make_trainer(tmp_path, model, checkpoint_seconds=1e9).fit(lambda epoch: data, validation_data())
    assert not [*tmp_path.glob("checkpoints/*")]


def fit_scheduled(path, epochs, die_after=None, max_minutes=None):
    model, recorder = build(), Recorder(die_after)
    trainer = make_trainer(path, model, recorder, epochs=epochs, schedule=model.schedule, max_minutes=max_minutes)
    with contextlib.suppress(Died):
        trainer.fit(train_data, validation_data())
    return recorder.losses, [variable.numpy() for variable in (*model.variables, *model.optimizer.variables)], model


def test_more_epochs_extend_a_finished_run_with_a_new_cycle_of_the_schedule(tmp_path, capsys):
    first, _, _ = fit_scheduled(tmp_path, epochs=2)
    second, _, model = fit_scheduled(tmp_path, epochs=5)
    assert (len(first), len(second)) == (2 * BATCHES, 3 * BATCHES)
    assert "extended to 5 epochs; the learning rate rises and falls again" in capsys.readouterr().out
    assert (model.schedule.first_step.numpy(), model.schedule.total_steps.numpy()) == (10, 25)
    assert float(model.schedule(10)) == pytest.approx(0.02) and float(model.schedule(25)) == pytest.approx(0, abs=1e-9)
    assert [row["step"] for row in RunDirectory(tmp_path).read_metrics()] == [5, 10, 15, 20, 25]
    assert fit_scheduled(tmp_path, epochs=5)[0] == [] and "nothing left to do" in capsys.readouterr().out


@pytest.mark.parametrize("die_after", [1, 7, 15])
def test_an_extension_resumes_exactly(tmp_path, die_after):
    for name in ("whole", "killed"):
        fit_scheduled(tmp_path / name, epochs=2)
    expected, weights, _ = fit_scheduled(tmp_path / "whole", epochs=5)
    before, _, _ = fit_scheduled(tmp_path / "killed", epochs=5, die_after=die_after)
    after, resumed, _ = fit_scheduled(tmp_path / "killed", epochs=5)
    assert before + after[1:] == expected and same(resumed, weights)


def test_more_epochs_stretch_the_schedule_of_an_unfinished_run(tmp_path, capsys):
    before, _, _ = fit_scheduled(tmp_path, epochs=2, die_after=7)
    after, _, model = fit_scheduled(tmp_path, epochs=4)
    assert len(before[:-1] + after) == 4 * BATCHES and "falls more slowly" in capsys.readouterr().out
    assert (model.schedule.first_step.numpy(), model.schedule.total_steps.numpy()) == (0, 20)


def test_a_run_that_ended_within_an_epoch_for_lack_of_time_is_extended_by_whole_epochs(tmp_path, monkeypatch):
    monkeypatch.setattr(trainer, "TimeBudget", FixedBudget)
    fit_scheduled(tmp_path, epochs=3, max_minutes=1)
    _, _, model = fit_scheduled(tmp_path, epochs=4)
    assert [row["step"] for row in RunDirectory(tmp_path).read_metrics()] == [5, 7, 12, 17]
    assert (model.schedule.first_step.numpy(), model.schedule.total_steps.numpy()) == (7, 17)


class NoProgress(keras.callbacks.Callback):
    """Makes every epoch look worse than the one before."""

    def on_test_begin(self, logs=None):
        self.model.out.bias.assign_add([10.0])


def test_patience_counts_from_the_extension(tmp_path):
    for epochs, expected in ((9, 3), (10, 5)):
        stubborn = make_trainer(tmp_path, build(), NoProgress(), epochs=epochs, patience=2)
        assert len(stubborn.fit(train_data, validation_data())) == expected


def test_early_stopping_counts_across_a_resume(tmp_path):
    model = build()
    rows = make_trainer(tmp_path, model, NoProgress(), epochs=9, patience=2).fit(train_data, validation_data())
    assert len(rows) == 3
    state = checkpoints.Checkpoints(tmp_path / "checkpoints", **checkpoints.training_variables(model)).restore("latest")
    assert state["best_epoch"] == 1 and "no better val_loss for 2 epochs" in state["finished"]


@pytest.mark.parametrize("callbacks", [[], [NoProgress()]])
def test_the_best_weights_are_those_of_the_best_epoch(tmp_path, callbacks):
    rows = make_trainer(tmp_path, build(), *callbacks).fit(train_data, validation_data())
    best = min(rows, key=lambda row: row["val_loss"])
    assert best["epoch"] == (1 if callbacks else EPOCHS)
    fresh = build()
    assert checkpoints.restore_weights(tmp_path / "checkpoints", fresh)["epoch"] == best["epoch"]
    assert trainer.evaluate(fresh, validation_data())["loss"] == best["val_loss"]


def test_without_validation_the_best_weights_are_those_of_the_lowest_loss(tmp_path):
    rows = make_trainer(tmp_path, build()).fit(train_data)
    best = checkpoints.restore_weights(tmp_path / "checkpoints", build())
    assert best["value"] == min(row["loss"] for row in rows)


def test_standard_keras_callbacks_work(tmp_path):
    seen = []
    callback = keras.callbacks.LambdaCallback(
        on_train_begin=lambda logs: seen.append("train"),
        on_epoch_begin=lambda epoch, logs: seen.append(f"begin {epoch}"),
        on_epoch_end=lambda epoch, logs: seen.append(f"end {epoch} {sorted(logs)}"),
        on_train_end=lambda logs: seen.append("over"),
    )
    stop = keras.callbacks.EarlyStopping(monitor="val_loss", mode="max", patience=0)
    model = build()
    make_trainer(tmp_path / "stopped", model, callback, stop).fit(train_data, validation_data())
    logged = "['loss', 'val_loss']"
    assert seen == ["train", "begin 0", f"end 0 {logged}", "begin 1", f"end 1 {logged}", "over"]  # not the third
    assert len(make_trainer(tmp_path / "whole", model).fit(train_data, validation_data())) == EPOCHS


def test_steps_are_cut_short_and_shapes_that_vary_are_compiled_once(tmp_path):
    traces = []

    class Counting(type(build())):
        def train_step(self, batch):
            traces.append(batch[0].shape)
            return super().train_step(batch)

    trainer.set_seed_and_precision(3, "float32")
    model = Counting()
    model(tf.zeros([1, 4]))
    model.compile("adam")
    rows = make_trainer(tmp_path, model, steps_per_epoch=2).fit(
        lambda epoch: validation_data().concatenate(train_data(0))
    )
    assert rows[-1]["step"] == 2 * EPOCHS
    assert len(traces) == 1


def test_tensorboard_gets_every_metric(tmp_path):
    fit(tmp_path)
    files = list((tmp_path / "tensorboard").iterdir())
    tags = {
        value.tag
        for file in files
        for event in tf.compat.v1.train.summary_iterator(str(file))
        for value in event.summary.value
    }
    assert tags == {"loss", "val_loss", "optimizer/learning_rate"} and len(files) == 1


def test_tensorboard_gets_samples_as_texts_and_pictures(tmp_path):
    class Samples(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            run = RunDirectory(tmp_path)
            sample_path(run, epoch + 1).write_text("To be")
            Image.new("L", (3, 2)).save(sample_path(run, epoch + 1, ".png"))

    make_trainer(tmp_path, build(), Samples(), epochs=2).fit(train_data, validation_data())
    [file] = (tmp_path / "tensorboard").iterdir()
    found = [
        (event.step, value.metadata.plugin_data.plugin_name, value.tensor.string_val[:3])
        for event in tf.compat.v1.train.summary_iterator(str(file))
        for value in event.summary.value
        if value.tag == "samples"
    ]
    assert [(step, kind) for step, kind, _ in found] == [
        (step, kind) for step in (BATCHES, 2 * BATCHES) for kind in ("images", "text")
    ]
    assert found[1][2][0] == b"```\nTo be\n```" and found[0][2][:2] == [b"3", b"2"]


def test_a_data_set_without_a_batch_is_an_error(tmp_path):
    with pytest.raises(UserError, match="no batch"):
        make_trainer(tmp_path, build()).fit(lambda epoch: train_data(epoch).take(0))


def unknown(data):
    return data.filter(lambda *batch: True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (unknown, "how many batches it has; tell it with.*assert_cardinality"),
        (lambda data: data.repeat(), "never ends"),
    ],
)
def test_a_data_set_of_no_known_length_is_an_error_that_says_what_to_do(tmp_path, change, message):
    with pytest.raises(UserError, match=message):
        make_trainer(tmp_path, build()).fit(lambda epoch: change(train_data(epoch)))


def test_what_these_errors_say_helps(tmp_path):
    told = make_trainer(tmp_path / "told", build(), epochs=1).fit(
        lambda epoch: unknown(train_data(epoch)).apply(tf.data.experimental.assert_cardinality(BATCHES))
    )
    endless = make_trainer(tmp_path / "endless", build(), epochs=1, steps_per_epoch=BATCHES).fit(
        lambda epoch: train_data(epoch).repeat()
    )
    assert told[0]["step"] == endless[0]["step"] == BATCHES and told[0]["loss"] == endless[0]["loss"]


def test_the_same_model_trains_with_fit():
    model = build()
    history = model.fit(train_data(0), validation_data=validation_data(), epochs=4, verbose=0).history
    assert history["loss"][0] > history["loss"][-1] > 0 and history["val_loss"][0] > history["val_loss"][-1] > 0
