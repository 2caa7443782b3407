"""Group C: a run that was killed, stopped or damaged goes on where it was, or says in one line why it cannot."""

import errno
import json
import os
import resource as limits
import shutil
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from common.data.batching import without_autotuning
from common.errors import Interrupted, UserError
from common.io import files
from common.io.files import is_temporary, sha256_of
from common.training import checkpoints, trainer
from common.training.checkpoints import Checkpoints, DamagedError, list_checkpoints, read_checkpoint
from common.training.run_directory import RunDirectory
from tests.downloads import ROOT
from tests.faults import random_kills
from tests.toy import (
    BATCHES,
    EPOCHS,
    Recorder,
    build,
    fit,
    make_trainer,
    same,
    saved_steps,
    start_run,
    train_data,
    validation_data,
    without_seconds,
)  # fmt: skip


@pytest.mark.parametrize("die_after", [1, 2, BATCHES, BATCHES + 3, EPOCHS * BATCHES])
def test_c01_a_killed_run_goes_on_as_if_nothing_had_happened(tmp_path, uninterrupted, die_after):
    before, _ = fit(tmp_path, die_after)
    after, weights = fit(tmp_path)
    losses, final_weights, rows = uninterrupted
    repeated = len(before) + len(after) - len(losses)
    assert repeated == 1  # the step that was never saved
    assert before + after[1:] == losses and after[0] == before[-1]
    assert same(weights, final_weights)
    assert without_seconds(RunDirectory(tmp_path).read_metrics()) == without_seconds(rows)
    assert RunDirectory(tmp_path).metrics.read_text().startswith("epoch,step,seconds,loss,val_loss\n")


def test_c02_control_without_the_random_state_losses_differ(tmp_path, uninterrupted, monkeypatch):
    """Control: without the random state in the checkpoint, resumed losses differ."""
    everything = checkpoints.named_variables

    def without_seeds(model):
        return {name: variable for name, variable in everything(model).items() if "seed_generator" not in name}

    monkeypatch.setattr(checkpoints, "named_variables", without_seeds)
    before, _ = fit(tmp_path, die_after=4)
    after, _ = fit(tmp_path)
    assert before + after[1:] != uninterrupted[0]


class Send(keras.callbacks.Callback):
    """Sends this process a signal at the first such moment of the second epoch."""

    def __init__(self, signum, moment):
        super().__init__()
        self.signum, self.epoch = signum, 0
        setattr(self, moment, self.send)

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def send(self, batch, logs=None):
        if self.epoch == 1 and batch == 0:
            os.kill(os.getpid(), self.signum)


@pytest.fixture
def heeds_hangups():
    """Run these tests alike below `nohup`, where SIGHUP is ignored and the trainer leaves it so."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.parametrize("moment", ["on_train_batch_begin", "on_test_batch_begin"])
def test_c05_a_signal_saves_at_the_step_and_the_same_call_resumes(
    tmp_path, uninterrupted, heeds_hangups, signum, moment
):
    recorder = Recorder()
    trainer = make_trainer(tmp_path, build(), recorder, Send(signum, moment), checkpoint_seconds=1e9)
    with pytest.raises(Interrupted) as stopped:
        trainer.fit(train_data, validation_data())
    step = BATCHES + 1 if moment == "on_train_batch_begin" else 2 * BATCHES
    assert stopped.value.signum == signum and f"step {step} " in str(stopped.value)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL  # handed back
    after, weights = fit(tmp_path)
    assert recorder.losses + after == uninterrupted[0] and same(weights, uninterrupted[1])


class SendAt(keras.callbacks.Callback):
    """Sends this process a signal at a moment that comes once an epoch, in the second; then it must not go on."""

    def __init__(self, moment):
        super().__init__()
        setattr(self, moment, self.send)

    def send(self, epoch, logs=None):
        if epoch == 1:
            os.kill(os.getpid(), signal.SIGTERM)
            raise AssertionError("went on")


@pytest.mark.parametrize(("moment", "step"), [("on_epoch_begin", BATCHES), ("on_epoch_end", 2 * BATCHES)])
def test_c05_between_steps_a_signal_ends_what_is_going_on_at_once(tmp_path, uninterrupted, moment, step):
    """Samples and their compilation, for instance, which may take a while; they are made again."""
    recorder = Recorder()
    trainer = make_trainer(tmp_path, build(), recorder, SendAt(moment), checkpoint_seconds=1e9)
    with pytest.raises(Interrupted, match=f"saved at step {step} "):
        trainer.fit(train_data, validation_data())
    after, weights = fit(tmp_path)
    assert recorder.losses + after == uninterrupted[0] and same(weights, uninterrupted[1])
    assert without_seconds(RunDirectory(tmp_path).read_metrics()) == without_seconds(uninterrupted[2])


def test_c05_what_tensorflow_makes_of_a_signal_is_a_stop_as_well(tmp_path, uninterrupted, monkeypatch):
    """Where the signal comes while TensorFlow calls Python, it makes an error of its own of the exception."""

    def converting(data):
        for number, batch in enumerate(data):
            if number == 2:
                try:
                    os.kill(os.getpid(), signal.SIGINT)
                except BaseException as error:
                    raise tf.errors.UnknownError(None, None, f"{error!r}") from None
            yield batch

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "distribute", converting)
        with pytest.raises(Interrupted, match="saved at step 2 "):
            make_trainer(tmp_path, build(), checkpoint_seconds=1e9).fit(train_data, validation_data())
    losses, weights = fit(tmp_path)
    assert losses == uninterrupted[0][2:] and same(weights, uninterrupted[1])


def test_c05_a_signal_ends_compilation_at_once(tmp_path, uninterrupted, monkeypatch):
    model = build()
    step = model.train_step

    def interrupted_step(batch):
        os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError("went on")

    model.train_step = interrupted_step
    with pytest.raises(Interrupted, match="saved at step 0 "):
        make_trainer(tmp_path, model).fit(train_data, validation_data())
    model.train_step = step
    losses, weights = fit(tmp_path)
    assert losses == uninterrupted[0] and same(weights, uninterrupted[1])


def test_c05_a_signal_during_a_save_waits_for_its_end(tmp_path, uninterrupted, monkeypatch):
    save = Checkpoints.save

    def interrupted_save(self, kind, step, state, **options):
        os.kill(os.getpid(), signal.SIGTERM)
        monkeypatch.undo()
        return save(self, kind, step, state, **options)

    recorder = Recorder()
    trainer = make_trainer(tmp_path, build(), recorder)
    monkeypatch.setattr(Checkpoints, "save", interrupted_save)
    with pytest.raises(Interrupted):
        trainer.fit(train_data, validation_data())
    after, weights = fit(tmp_path)
    assert recorder.losses + after == uninterrupted[0] and same(weights, uninterrupted[1])


def test_c05_a_signal_after_the_last_batch_is_not_lost(tmp_path, uninterrupted):
    class SendLate(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == EPOCHS - 1:
                os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted):
        make_trainer(tmp_path, build(), SendLate()).fit(train_data, validation_data())
    losses, weights = fit(tmp_path)
    assert losses == [] and same(weights, uninterrupted[1])


def test_c15_a_finished_run_is_left_alone(tmp_path, capsys):
    _, weights = fit(tmp_path)
    losses, again = fit(tmp_path)
    assert losses == [] and same(weights, again)
    assert "nothing left to do" in capsys.readouterr().out


@pytest.mark.parametrize("checkpoint_seconds", [0, 1e9])
def test_c16_weights_that_are_no_numbers_are_not_saved_though_the_loss_before_them_was_one(
    tmp_path, checkpoint_seconds
):
    class Poison(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == BATCHES - 1:
                self.model.out.bias.assign([np.inf])

    trainer = make_trainer(tmp_path, build(), Poison(), checkpoint_seconds=checkpoint_seconds)
    with pytest.raises(UserError, match=rf"/bias is not finite after step {BATCHES}; training stopped, the last good"):
        trainer.fit(train_data)
    model = build()
    kept = checkpoints.Checkpoints(tmp_path / "checkpoints", **checkpoints.training_variables(model))
    assert (kept.restore("latest") or {"step": 0})["step"] < BATCHES and np.isfinite(model.out.bias.numpy()).all()
    assert not checkpoints.list_checkpoints(tmp_path / "checkpoints", "best")


def test_c16_a_loss_that_is_no_number_stops_training_and_keeps_the_last_good_checkpoint(tmp_path):
    class Poison(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if batch == 3:
                self.model.out.bias.assign([np.nan])

    model = build()
    with pytest.raises(UserError, match=r"loss is nan at step 4 \(epoch 1, batch 4\)"):
        make_trainer(tmp_path, model, Poison()).fit(train_data)
    good = checkpoints.Checkpoints(tmp_path / "checkpoints", **checkpoints.training_variables(model)).restore("latest")
    assert good["step"] == 3 and np.isfinite(model.out.bias.numpy()).all()


def contents(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


def halve(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path):
    path.write_bytes(b"")


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


FILES = pytest.mark.parametrize("name", ["variables.safetensors", "state.json"])


@FILES
@pytest.mark.parametrize("damage", [cut, halve, empty, flip])
@pytest.mark.parametrize("quarantine", [True, False])
def test_c06_a_damaged_checkpoint_is_named_and_passed_over(tmp_path, capsys, damage, name, quarantine):
    """By the one process that trains it is kept aside; who only reads leaves everything in its place."""
    checkpoints, variable = saved_steps(tmp_path)
    damage(tmp_path / "latest-00000003" / name)
    before = contents(tmp_path)
    assert checkpoints.restore("latest", quarantine=quarantine) == {"step": 2} and variable.numpy() == 2.0
    assert "latest-00000003: damaged" in capsys.readouterr().err
    assert (tmp_path / "damaged-latest-00000003").is_dir() == quarantine
    assert quarantine or contents(tmp_path) == before


@FILES
def test_c06_what_is_missing_is_no_damage(tmp_path, name):
    """It may come back: with the network, with the rest of a copy. So nothing is renamed, and nothing older is used."""
    checkpoints, variable = saved_steps(tmp_path)
    (tmp_path / "latest-00000003" / name).unlink()
    before = contents(tmp_path)
    with pytest.raises(UserError, match=f"latest-00000003/{name}: cannot be read .No such file"):
        checkpoints.restore("latest", quarantine=True)
    assert contents(tmp_path) == before and variable.numpy() == -1.0


FAULTS = {
    "EIO": OSError(errno.EIO, "Input/output error"),
    "ESTALE": OSError(errno.ESTALE, "Stale file handle"),
    "EACCES": PermissionError(errno.EACCES, "Permission denied"),
    "ENOMEM": OSError(errno.ENOMEM, "Cannot allocate memory"),
    "memory": MemoryError(),
    "TensorFlow's memory": tf.errors.ResourceExhaustedError(None, None, "OOM"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_c21_what_keeps_a_checkpoint_from_being_read_is_no_damage(tmp_path, monkeypatch, fault):
    restored, variable = saved_steps(tmp_path)
    before = contents(tmp_path)

    def fail(*_, **__):
        raise FAULTS[fault]

    monkeypatch.setattr(*((Checkpoints, "_assign") if "memory" in fault else (files, "open_plain")), fail)
    with pytest.raises((UserError, MemoryError, tf.errors.ResourceExhaustedError)) as told:
        restored.restore("latest", quarantine=True)
    assert "\n" not in str(told.value)
    monkeypatch.undo()
    assert contents(tmp_path) == before
    assert restored.restore("latest") == {"step": 3} and variable.numpy() == 3.0


ODD_NAMES = ["run [v2]", "x[!a]y", "a*b?c", "{a,b}", "back\\slash", "new\nline", "~", "-x", "名前", "\udcff", "%s"]


@pytest.mark.parametrize("name", ODD_NAMES, ids=ascii)
def test_c22_checkpoints_below_any_path_are_found_again(tmp_path, name):
    restored, variable = saved_steps(tmp_path / name)
    assert restored.restore("latest", quarantine=True) == {"step": 3} and variable.numpy() == 3.0
    assert list_checkpoints(tmp_path / name, "latest") and not list((tmp_path / name).glob("damaged-*"))


@pytest.mark.parametrize("name", ODD_NAMES[:2])
def test_c22_a_run_below_any_path_resumes(tmp_path, uninterrupted, name):
    before, _ = fit(tmp_path / name / "run", die_after=BATCHES + 2)
    after, weights = fit(tmp_path / name / "run")
    assert before + after[1:] == uninterrupted[0] and same(weights, uninterrupted[1])
    assert not list((tmp_path / name / "run" / "checkpoints").glob("damaged-*"))


def test_control_without_the_digest_of_the_variables_damage_reaches_them(tmp_path, monkeypatch):
    restored, variable = saved_steps(tmp_path)
    name = "variables.safetensors"
    shutil.copy(tmp_path / "latest-00000002" / name, tmp_path / "latest-00000003" / name)
    verified = checkpoints._verified_payload
    digest = sha256_of(tmp_path / "latest-00000003" / name)
    monkeypatch.setattr(checkpoints, "_verified_payload", lambda content: verified(content) | {"variables": digest})
    assert restored.restore("latest") == {"step": 3} and variable.numpy() == 2.0


def test_c07_no_good_checkpoint_left_never_means_a_silent_fresh_start(tmp_path):
    checkpoints, _ = saved_steps(tmp_path)
    for path in list_checkpoints(tmp_path, "latest"):
        flip(path / "variables.safetensors")
    for _ in range(2):  # again when all are renamed
        with pytest.raises(UserError, match="--fresh"):
            checkpoints.restore("latest", quarantine=True)


def test_c10_a_full_disk_is_told_and_harms_nothing(tmp_path, monkeypatch):
    checkpoints, _ = saved_steps(tmp_path)

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files, "fsync", full)
    with pytest.raises(UserError, match="latest-00000004: cannot save .*No space left.* MB free"):
        checkpoints.save("latest", 4, {"step": 4})
    assert not any(map(is_temporary, tmp_path.iterdir())) and checkpoints.restore("latest") == {"step": 3}


def test_c20_the_newest_is_told_by_step_not_by_clock(tmp_path):
    checkpoints, _ = saved_steps(tmp_path)
    os.utime(tmp_path / "latest-00000003", (0, 0))
    assert checkpoints.restore("latest") == {"step": 3}


def test_c09_a_folder_that_was_moved_restores(tmp_path):
    saved_steps(tmp_path / "here")
    (tmp_path / "here").rename(tmp_path / "there")
    variable = tf.Variable(0.0)
    assert Checkpoints(tmp_path / "there", model={"value": variable}).restore("latest") == {"step": 3}
    assert variable.numpy() == 3.0


def test_c08_a_state_that_was_edited_is_refused(tmp_path):
    saved_steps(tmp_path)
    path = tmp_path / "latest-00000003" / "state.json"
    entry = json.loads(path.read_text())
    path.write_text(json.dumps(entry | {"payload": entry["payload"].replace('"step": 3', '"step": 9')}))
    with pytest.raises(DamagedError, match=r"state.json"):
        read_checkpoint(path.parent, 10**6)


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ({"settings": {"seed": 4}}, "seed 3 there, 4 now"),
        ({"settings": {"seed": 3, "batch_size": 8}}, "batch_size None there, 8 now"),
        ({"data": {"sha256": "cd"}}, "sha256 None there, 'cd' now"),
    ],
)
def test_c14_other_settings_or_data_are_refused_and_named(tmp_path, change, difference):
    fit(tmp_path, die_after=2)
    with pytest.raises(UserError, match=f"{difference}.*--fresh"):
        RunDirectory.start(tmp_path, "toy", **{"settings": {"seed": 3}, "data": {}} | change)


def test_c08_a_run_without_its_config_is_no_empty_folder(tmp_path):
    """There is no state file to damage: names tell what is newest. But there is config.json."""
    fit(tmp_path, epochs=1)
    RunDirectory(tmp_path).config.unlink()
    with pytest.raises(UserError, match="not empty and not a run directory"):
        start_run(tmp_path)


def test_c08_metrics_are_written_again_from_the_checkpoint(tmp_path, uninterrupted):
    fit(tmp_path, die_after=2 * BATCHES + 1)
    RunDirectory(tmp_path).metrics.write_text("epoch,step\n\0damaged")
    fit(tmp_path)
    assert without_seconds(RunDirectory(tmp_path).read_metrics()) == without_seconds(uninterrupted[2])


def test_c10_a_file_that_may_not_grow_and_the_next_save_after_it_may(tmp_path):
    large = tf.Variable(tf.zeros([100_000]))
    restored = Checkpoints(tmp_path, model={"large": large})
    restored.save("latest", 1, {"step": 1})
    before = limits.getrlimit(limits.RLIMIT_FSIZE)
    limits.setrlimit(limits.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(
            UserError, match="latest-00000002: cannot save .*; earlier ones are intact: free some space"
        ):
            restored.save("latest", 2, {"step": 2})
    finally:
        limits.setrlimit(limits.RLIMIT_FSIZE, before)
    assert [path.name for path in tmp_path.iterdir()] == ["latest-00000001"]
    assert restored.restore("latest") == {"step": 1}
    restored.save("latest", 2, {"step": 2})
    assert restored.restore("latest") == {"step": 2}


def test_c12_a_second_trainer_is_refused_until_the_first_is_gone(tmp_path):
    start_run(tmp_path)
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom common.io.lock import exclusive\n"
        "with exclusive(Path(sys.argv[1])):\n print('held', flush=True)\n time.sleep(600)"
    )
    first = subprocess.Popen(
        [sys.executable, "-c", code, str(RunDirectory(tmp_path).lock)], stdout=subprocess.PIPE, cwd=ROOT, text=True
    )
    assert first.stdout.readline() == "held\n"
    refusal = f"process {first.pid} is training there"
    with pytest.raises(UserError, match=refusal):
        fit(tmp_path)
    with pytest.raises(UserError, match=refusal):
        RunDirectory.start(tmp_path, "toy", {"seed": 4}, {}, fresh=True)
    assert not list_checkpoints(tmp_path / "checkpoints", "latest")
    first.kill()
    first.wait()
    assert len(fit(tmp_path)[0]) == EPOCHS * BATCHES
    first.stdout.close()


def test_c12_a_reader_meets_whole_checkpoints_while_another_process_trains(tmp_path, monkeypatch, capsys):
    trained, variable = saved_steps(tmp_path)
    check = checkpoints.read_checkpoint

    def replaced_meanwhile(path, max_bytes):
        monkeypatch.undo()
        variable.assign(9.0)
        trained.save("latest", 9, {"step": 9}, keep=1)
        return check(path, max_bytes)

    monkeypatch.setattr(checkpoints, "read_checkpoint", replaced_meanwhile)
    mine = tf.Variable(0.0)
    assert Checkpoints(tmp_path, model={"value": mine}).restore("latest") == {"step": 9} and mine.numpy() == 9.0
    assert capsys.readouterr().err == "" and [path.name for path in tmp_path.iterdir()] == ["latest-00000009"]


@pytest.mark.parametrize(
    ("model", "difference"),
    [
        ({"value": tf.Variable([0.0, 0.0])}, r"model/value: float32 \[\] there, float32 \[2\] here"),
        ({"value": tf.Variable(0)}, r"model/value: float32 \[\] there, int32 \[\] here"),
        ({"value": tf.Variable(0.0), "a/b.c": tf.Variable(0.0)}, r"model/a/b\.c: missing there, float32 \[\] here"),
        ({}, None),  # to use a model takes less than to train it
    ],
)
def test_c13_another_model_is_refused_by_the_first_variable_that_differs(tmp_path, model, difference):
    saved_steps(tmp_path)
    if difference is None:
        assert Checkpoints(tmp_path, model=model).restore("latest") == {"step": 3}
        return
    with pytest.raises(UserError, match=f"another version of the model .{difference}"):
        Checkpoints(tmp_path, model=model).restore("latest")


def test_c13_another_optimizer_is_refused(tmp_path):
    fit(tmp_path, die_after=2)
    model = build()
    model.compile(keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(0.02, 9)))
    with pytest.raises(UserError, match=r"optimizer/1: float32 \[4, 8\] there, missing here"):
        make_trainer(tmp_path, model).fit(train_data)


def test_c14_control_settings_that_only_say_how_may_change(tmp_path, uninterrupted):
    first, _ = fit(tmp_path, die_after=3)
    rest, weights = fit(tmp_path, checkpoint_seconds=1e9)
    assert first + rest[1:] == uninterrupted[0] and same(weights, uninterrupted[1])


def test_c17_a_checkpoint_holds_variables_and_counters_whatever_the_data_set_holds(tmp_path):
    """No position of an iterator, with all that shuffling and caching hold: the order of data is computed again."""
    x = np.zeros((2000, 4), "float32")
    shuffled = tf.data.Dataset.from_tensor_slices((x, x[:, :1])).cache().shuffle(2000).batch(500)
    model = build()
    make_trainer(tmp_path, model, epochs=1).fit(lambda epoch: shuffled)
    variables = (*model.variables, *model.optimizer.variables)
    needed = sum(np.asarray(variable).nbytes for variable in variables)
    [newest, *_] = list_checkpoints(tmp_path / "checkpoints", "latest")
    assert random_kills.size(newest) < needed + 20_000 < x.nbytes


def test_c24_whoever_stops_waits_for_no_tuning(tmp_path, monkeypatch):
    """No loop here iterates over a data set that is tuned: its iterator may take a minute to end."""
    tuned = []
    iterate = tf.data.Dataset.__iter__

    def recorded(self):
        tuned.append(self.options().autotune.enabled)
        return iterate(self)

    for kind in (tf.data.Dataset, type(validation_data()), type(without_autotuning(validation_data()))):
        monkeypatch.setattr(kind, "__iter__", recorded, raising=False)
    fit(tmp_path)
    trainer.evaluate(build(), validation_data())
    assert tuned == [False] * (2 * EPOCHS + 1)
    iter(validation_data())
    assert tuned[-1] is None  # what is not switched off is on
