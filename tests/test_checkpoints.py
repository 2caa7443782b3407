import json
import os

import keras
import numpy as np
import pytest
import tensorflow as tf

from common.checkpoints import Checkpoints, find, named_variables, restore_weights, training_state, verify
from common.errors import UserError
from tests.toy import Toy, build


def saved(folder, steps=(1, 2, 3)):
    """Save a variable that holds the step, at each of `steps`."""
    variable = tf.Variable(0.0)
    checkpoints = Checkpoints(folder, model={"value": variable})
    for step in steps:
        variable.assign(step)
        checkpoints.save("latest", step, {"step": step})
    variable.assign(-1.0)
    return checkpoints, variable


def test_the_newest_is_restored_and_two_are_kept(tmp_path):
    checkpoints, variable = saved(tmp_path)
    assert [path.name for path in find(tmp_path, "latest")] == ["latest-00000003", "latest-00000002"]
    assert checkpoints.restore("latest") == {"step": 3} and variable.numpy() == 3.0
    assert checkpoints.restore("best") is None


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


def empty(path):
    path.write_bytes(b"")


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("damage", [cut, empty, flip, os.remove])
@pytest.mark.parametrize("name", ["variables.index", "variables.data-00000-of-00001", "state.json"])
def test_a_damaged_checkpoint_is_named_kept_aside_and_passed_over(tmp_path, capsys, damage, name):
    checkpoints, variable = saved(tmp_path)
    damage(tmp_path / "latest-00000003" / name)
    assert checkpoints.restore("latest") == {"step": 2} and variable.numpy() == 2.0
    assert "latest-00000003: damaged" in capsys.readouterr().err
    assert (tmp_path / "damaged-latest-00000003").is_dir()


def test_no_good_checkpoint_left_never_means_a_silent_fresh_start(tmp_path):
    checkpoints, _ = saved(tmp_path)
    for path in find(tmp_path, "latest"):
        flip(path / "variables.index")
    for _ in range(2):  # again when all are renamed
        with pytest.raises(UserError, match="--fresh"):
            checkpoints.restore("latest")


def test_a_killed_save_leaves_nothing_that_counts(tmp_path, monkeypatch):
    checkpoints, variable = saved(tmp_path)

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "rename", killed)
    with pytest.raises(KeyboardInterrupt):
        checkpoints.save("latest", 4, {"step": 4})
    monkeypatch.undo()
    assert len(list(tmp_path.glob("*.tmp"))) == 1
    assert checkpoints.restore("latest") == {"step": 3}
    checkpoints.sweep()
    assert list(tmp_path.glob("*.tmp")) == []


def test_a_full_disk_is_told_and_harms_nothing(tmp_path, monkeypatch):
    checkpoints, _ = saved(tmp_path)

    def full(*_, **__):
        raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")

    monkeypatch.setattr(tf.train.Checkpoint, "write", full)
    with pytest.raises(UserError, match="latest-00000004: cannot save .*No space left.* MB free"):
        checkpoints.save("latest", 4, {"step": 4})
    assert list(tmp_path.glob("*.tmp")) == [] and checkpoints.restore("latest") == {"step": 3}


def test_the_newest_is_told_by_step_not_by_clock(tmp_path):
    checkpoints, _ = saved(tmp_path)
    os.utime(tmp_path / "latest-00000003", (0, 0))
    assert checkpoints.restore("latest") == {"step": 3}


def test_a_folder_that_was_moved_restores(tmp_path):
    saved(tmp_path / "here")
    (tmp_path / "here").rename(tmp_path / "there")
    variable = tf.Variable(0.0)
    assert Checkpoints(tmp_path / "there", model={"value": variable}).restore("latest") == {"step": 3}
    assert variable.numpy() == 3.0


def test_another_model_is_refused_by_name(tmp_path):
    saved(tmp_path)
    for model in ({"value": tf.Variable([0.0, 0.0])}, {"other": tf.Variable(0.0)}):
        with pytest.raises(UserError, match="another version of the model"):
            Checkpoints(tmp_path, model=model).restore("latest")


def test_a_state_that_was_edited_is_refused(tmp_path):
    saved(tmp_path)
    path = tmp_path / "latest-00000003" / "state.json"
    entry = json.loads(path.read_text())
    path.write_text(json.dumps(entry | {"sealed": entry["sealed"].replace('"step": 3', '"step": 9')}))
    with pytest.raises(ValueError, match=r"state.json"):
        verify(path.parent)


def test_every_variable_has_a_name_that_is_the_same_for_every_instance():
    one, other = build(), build()  # Keras numbers the layers of the second differently
    assert {v.path for v in one.variables}.isdisjoint(v.path for v in other.variables)
    assert list(named_variables(one)) == list(named_variables(other))
    assert len(named_variables(one)) == len(one.variables)
    assert {"dense/kernel", "dense_1/kernel", "dense_2/kernel", "seed_generator/seed_generator_state"} <= set(
        named_variables(one)
    )


def test_layers_in_a_list_are_restored(tmp_path):
    """What tf.train.Checkpoint(model) silently leaves out."""
    trained, fresh = build(), build()
    trained.hidden[1].kernel.assign(np.full((8, 8), 5.0))
    Checkpoints(tmp_path, model=named_variables(trained)).save("best", 1, {})
    restore_weights(tmp_path, fresh)
    assert (fresh.hidden[1].kernel.numpy() == 5.0).all()

    tf.train.Checkpoint(model=trained).write(str(tmp_path / "plain"))
    names = [name for name, _ in tf.train.list_variables(str(tmp_path / "plain"))]
    assert not any("hidden" in name for name in names), "Keras tracks lists now: named_variables may be simplified"


def test_a_model_that_is_not_built_is_refused():
    with pytest.raises(ValueError, match="must be built"):
        named_variables(Toy())


def test_variables_of_one_path_are_refused():
    class Twice(keras.Model):
        def __init__(self):
            super().__init__()
            self.one = self.add_weight(shape=(), name="same")
            self.other = self.add_weight(shape=(), name="same")
            self.built = True

    with pytest.raises(ValueError, match="different names"):
        named_variables(Twice())


def test_without_any_checkpoint_the_way_on_is_told(tmp_path):
    with pytest.raises(UserError, match="`train` command"):
        restore_weights(tmp_path, build())


def two_optimizers():
    model = build()
    model.second_optimizer = keras.optimizers.Adam()
    return model


def test_every_optimizer_of_a_model_is_part_of_the_training_state():
    model = two_optimizers()
    for optimizer in (model.optimizer, model.second_optimizer):
        optimizer.build(model.trainable_variables)
    state = training_state(model)
    assert set(state) == {"model", "optimizer", "second_optimizer"}
    assert len(state["second_optimizer"]) == len(model.second_optimizer.variables) > 10


def test_one_of_several_optimizers_that_is_not_built_is_an_error():
    with pytest.raises(ValueError, match="optimizer must be built on its variables"):
        training_state(two_optimizers())
