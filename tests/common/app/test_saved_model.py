import os

import pytest
import tensorflow as tf

from common.app.saved_model import save_model
from common.errors import UserError


class Doubler(tf.Module):
    def __init__(self, factor=2.0):
        super().__init__()
        self.factor = tf.Variable(factor)

    @tf.function(input_signature=[tf.TensorSpec([], tf.float32, "x")])
    def double(self, x):
        return {"y": self.factor * x}


def save(folder, factor=2.0, maker="run", **options):
    module = Doubler(factor)
    return save_model(module.double, [module.factor], folder, maker, **options)


def result(folder):
    return float(tf.saved_model.load(str(folder)).signatures["serving_default"](x=tf.constant(3.0))["y"])


def test_it_loads_and_the_same_maker_may_write_it_again(tmp_path):
    assert result(save(tmp_path / "new" / "model")) == 6
    assert result(save(tmp_path / "new" / "model", factor=3.0)) == 9
    assert os.listdir(tmp_path / "new") == ["model"]


def test_another_makers_is_replaced_only_if_the_user_says_so(tmp_path):
    save(tmp_path, maker="one")
    with pytest.raises(UserError, match="holds another SavedModel.*--overwrite"):
        save(tmp_path, factor=3.0, maker="other")
    assert result(tmp_path) == 6
    assert result(save(tmp_path, factor=3.0, maker="other", overwrite=True)) == 9


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_with_other_files_is_never_touched(tmp_path, overwrite):
    save(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match=r"holds other files .notes.txt."):
        save(tmp_path, factor=3.0, overwrite=overwrite)
    assert (tmp_path / "notes.txt").read_text() == "mine" and result(tmp_path) == 6


def test_what_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("mine")
    for folder in (tmp_path / "file", tmp_path / "file" / "model", tmp_path / ("x" * 256)):
        with pytest.raises(UserError, match="--out") as told:
            save(folder)
        assert "\n" not in str(told.value)
    assert (tmp_path / "file").read_text() == "mine" and os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("name", ["model [v2]", "a*b?", "back\\slash", "名"])
def test_any_name_will_do(tmp_path, name):
    save(tmp_path / name)
    (tmp_path / name).rename(tmp_path / "plain")  # TensorFlow takes the name for a pattern when it loads
    assert result(tmp_path / "plain") == 6
