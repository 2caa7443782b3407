import contextlib
import os
import signal

import keras
import numpy as np
import pytest
import tensorflow as tf

from common import checkpoints, training
from common.errors import Interrupted, UserError
from common.run import Run
from tests.toy import BATCHES, EPOCHS, Died, Recorder, build, make_trainer, train_data, validation_data


def fit(path, die_after=None, **options):
    """Train to the end, or until step `die_after` of this sitting; return the losses seen and the final weights."""
    model, recorder = build(), Recorder(die_after)
    trainer = make_trainer(path, model, recorder, **options)
    try:
        trainer.fit(train_data, validation_data())
    except Died:
        return recorder.losses, None
    return recorder.losses, [variable.numpy() for variable in model.variables]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    path = tmp_path_factory.mktemp("uninterrupted")
    losses, weights = fit(path)
    return losses, weights, Run(path).read_metrics()


def without_seconds(rows):
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


def same(weights, others):
    return all(np.array_equal(one, other) for one, other in zip(weights, others, strict=True))


@pytest.mark.parametrize("die_after", [1, 2, BATCHES, BATCHES + 3, EPOCHS * BATCHES])
def test_a_killed_run_goes_on_as_if_nothing_had_happened(tmp_path, uninterrupted, die_after):
    before, _ = fit(tmp_path, die_after)
    after, weights = fit(tmp_path)
    losses, final_weights, rows = uninterrupted
    repeated = len(before) + len(after) - len(losses)
    assert repeated == 1  # the step that was never saved
    assert before + after[1:] == losses and after[0] == before[-1]
    assert same(weights, final_weights)
    assert without_seconds(Run(tmp_path).read_metrics()) == without_seconds(rows)
    assert Run(tmp_path).metrics.read_text().startswith("epoch,step,seconds,loss,val_loss\n")


def test_the_resume_test_sees_dropout(tmp_path, uninterrupted, monkeypatch):
    """Control: without the random state in the checkpoint, resumed losses differ."""
    everything = checkpoints.named_variables

    def without_seeds(model):
        return {name: variable for name, variable in everything(model).items() if "seed_generator" not in name}

    monkeypatch.setattr(checkpoints, "named_variables", without_seeds)
    before, _ = fit(tmp_path, die_after=4)
    after, _ = fit(tmp_path)
    assert before + after[1:] != uninterrupted[0]


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
    assert training.evaluate(model, validation_data())["loss"] == pytest.approx(expected, rel=1e-5)


def test_eager_gives_the_same_losses(tmp_path, uninterrupted):
    losses, _ = fit(tmp_path, eager=True, steps_per_epoch=2, epochs=1)
    compiled = [float.fromhex(loss) for loss in uninterrupted[0][:2]]
    assert [float.fromhex(loss) for loss in losses] == pytest.approx(compiled, abs=1e-4)


def test_a_finished_run_is_left_alone(tmp_path, capsys):
    _, weights = fit(tmp_path)
    losses, again = fit(tmp_path)
    assert losses == [] and same(weights, again)
    assert "nothing left to do" in capsys.readouterr().out


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_at_the_step_and_the_same_call_resumes(tmp_path, uninterrupted, signum):
    class Send(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if batch == 2:
                os.kill(os.getpid(), signum)

    model, recorder = build(), Recorder()
    with pytest.raises(Interrupted) as stopped:
        make_trainer(tmp_path, model, recorder, Send(), checkpoint_seconds=1e9).fit(train_data, validation_data())
    assert stopped.value.signum == signum and "step 3" in str(stopped.value)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL  # handed back
    after, _ = fit(tmp_path)
    assert recorder.losses + after == uninterrupted[0]


def test_a_signal_after_the_last_batch_is_not_lost(tmp_path, uninterrupted):
    class Send(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == EPOCHS - 1:
                os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted):
        make_trainer(tmp_path, build(), Send()).fit(train_data, validation_data())
    losses, weights = fit(tmp_path)
    assert losses == [] and same(weights, uninterrupted[1])


def test_when_the_time_is_up_the_run_is_saved_and_resumes(tmp_path, uninterrupted, monkeypatch):
    first, _ = fit(tmp_path, max_minutes=1e-9)
    second, _ = fit(tmp_path, max_minutes=1e-3)
    rest, weights = fit(tmp_path)
    assert first == [] and first + second + rest == uninterrupted[0]
    assert same(weights, uninterrupted[1])


class PlanAtOnce:
    """Decides at its second step that there is time for seven in all, which is in the second epoch."""

    def __init__(self, deadline, most):
        self.calls = 0

    def steps_that_fit(self, now):
        self.calls += 1
        return 5 if self.calls == 2 else 0


def fit_planned(path, die_after=None, max_minutes=None):
    model, recorder = build(), Recorder(die_after)
    trainer = make_trainer(path, model, recorder, schedule=model.schedule, max_minutes=max_minutes)
    with contextlib.suppress(Died):
        trainer.fit(train_data, validation_data())
    return recorder.losses, model


def test_a_run_with_little_time_ends_where_its_rate_does(tmp_path, uninterrupted, monkeypatch, capsys):
    monkeypatch.setattr(training, "TimePlan", PlanAtOnce)
    losses, model = fit_planned(tmp_path, max_minutes=1)
    assert [row["step"] for row in Run(tmp_path).read_metrics()] == [5, 7]
    assert model.schedule.total_steps.numpy() == 7 and model.schedule(7).numpy() == pytest.approx(0, abs=1e-8)
    assert losses[:2] == uninterrupted[0][:2] and losses[3:] != uninterrupted[0][3:7]
    assert "7 steps, as many as fit into the time" in capsys.readouterr().out
    assert fit_planned(tmp_path, max_minutes=1)[0] == []


@pytest.mark.parametrize("die_after", [3, 5, 7])
def test_a_plan_outlives_a_kill(tmp_path, monkeypatch, die_after):
    monkeypatch.setattr(training, "TimePlan", PlanAtOnce)
    expected, whole = fit_planned(tmp_path / "whole", max_minutes=1)
    before, _ = fit_planned(tmp_path / "killed", die_after, max_minutes=1)
    after, resumed = fit_planned(tmp_path / "killed")
    assert before + after[1:] == expected
    assert same([v.numpy() for v in resumed.variables], [v.numpy() for v in whole.variables])


def test_a_run_told_to_stop_at_the_last_step_planned_only_validates_when_resumed(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "TimePlan", PlanAtOnce)

    class Send(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if model.optimizer.iterations == 6:
                os.kill(os.getpid(), signal.SIGTERM)

    model = build()
    with pytest.raises(Interrupted):
        make_trainer(tmp_path, model, Send(), schedule=model.schedule, max_minutes=1).fit(train_data, validation_data())
    losses, _ = fit_planned(tmp_path)
    assert losses == [] and [row["step"] for row in Run(tmp_path).read_metrics()] == [5, 7]


def test_a_run_begun_without_a_plan_stops_when_the_time_is_up(tmp_path, uninterrupted):
    before, _ = fit(tmp_path, die_after=2)
    assert fit_planned(tmp_path, max_minutes=1e-9)[0] == []
    assert before + fit_planned(tmp_path)[0][1:] == uninterrupted[0]


def test_a_loss_that_is_no_number_stops_training_and_keeps_the_last_good_checkpoint(tmp_path):
    class Poison(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if batch == 3:
                self.model.out.bias.assign([np.nan])

    model = build()
    with pytest.raises(UserError, match=r"loss is nan at step 4 \(epoch 1, batch 4\)"):
        make_trainer(tmp_path, model, Poison()).fit(train_data)
    good = checkpoints.Checkpoints(tmp_path / "checkpoints", **checkpoints.training_state(model)).restore("latest")
    assert good["step"] == 3 and np.isfinite(model.out.bias.numpy()).all()


def test_early_stopping_counts_across_a_resume(tmp_path):
    class NoProgress(keras.callbacks.Callback):
        """Makes every epoch look worse than the one before."""

        def on_test_begin(self, logs=None):
            self.model.out.bias.assign_add([10.0])

    model = build()
    rows = make_trainer(tmp_path, model, NoProgress(), epochs=9, patience=2).fit(train_data, validation_data())
    assert len(rows) == 3
    state = checkpoints.Checkpoints(tmp_path / "checkpoints", **checkpoints.training_state(model)).restore("latest")
    assert state["best_epoch"] == 1 and "no better val_loss for 2 epochs" in state["finished"]


def test_the_best_weights_are_those_of_the_best_epoch(tmp_path):
    model = build()
    rows = make_trainer(tmp_path, model).fit(train_data, validation_data())
    best = min(rows, key=lambda row: row["val_loss"])
    fresh = build()
    assert checkpoints.restore_weights(tmp_path / "checkpoints", fresh)["epoch"] == best["epoch"]
    assert training.evaluate(fresh, validation_data())["loss"] == best["val_loss"]


def test_standard_keras_callbacks_work(tmp_path):
    seen = []
    callback = keras.callbacks.LambdaCallback(
        on_train_begin=lambda logs: seen.append("train"),
        on_epoch_begin=lambda epoch, logs: seen.append(f"begin {epoch}"),
        on_epoch_end=lambda epoch, logs: seen.append(f"end {epoch} {sorted(logs)}"),
        on_train_end=lambda logs: seen.append("over"),
    )
    stop = keras.callbacks.EarlyStopping(monitor="val_loss", mode="max", patience=0)
    make_trainer(tmp_path, build(), callback, stop).fit(train_data, validation_data())
    logged = "['loss', 'val_loss']"
    assert seen == ["train", "begin 0", f"end 0 {logged}", "begin 1", f"end 1 {logged}", "over"]  # not the third


def test_steps_are_cut_short_and_shapes_that_vary_are_compiled_once(tmp_path):
    traces = []

    class Counting(type(build())):
        def train_step(self, batch):
            traces.append(batch[0].shape)
            return super().train_step(batch)

    training.prepare(3, "float32")
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
    assert tags == {"loss", "val_loss"} and len(files) == 1


def test_a_data_set_without_a_batch_is_an_error(tmp_path):
    with pytest.raises(UserError, match="no batch"):
        make_trainer(tmp_path, build()).fit(lambda epoch: train_data(epoch).take(0))


def test_the_same_model_trains_with_fit():
    model = build()
    history = model.fit(train_data(0), validation_data=validation_data(), epochs=4, verbose=0).history
    assert history["loss"][0] > history["loss"][-1] > 0 and history["val_loss"][0] > history["val_loss"][-1] > 0
