import os

import pytest
from PIL import Image

from common.app.outputs import Outputs
from common.errors import UserError

PICTURE = Image.new("RGB", (4, 4), "red")
OTHER = Image.new("RGB", (4, 4), "blue")


def outputs(folder, maker="run", overwrite=False):
    return Outputs(folder, maker, overwrite)


def colour(path):
    return Image.open(path).convert("RGB").getpixel((0, 0))


def save(to, name, picture, source):
    to.require_free([name], source)
    return to.save_png(name, picture, source) if name.endswith("png") else to.save_gif(name, [picture, PICTURE], source)


@pytest.mark.parametrize("name", ["a.png", "a.gif"])
def test_the_same_thing_made_again_replaces_itself(tmp_path, name):
    save(outputs(tmp_path / "new"), name, PICTURE, "source")
    path = save(outputs(tmp_path / "new"), name, OTHER, "source")
    assert colour(path) == (0, 0, 255) and os.listdir(tmp_path / "new") == [name]


@pytest.mark.parametrize("name", ["a.png", "a.gif"])
@pytest.mark.parametrize(("maker", "source"), [("run", "other"), ("other", "source")])
def test_another_output_is_not_replaced_unless_the_user_says_so(tmp_path, name, maker, source):
    save(outputs(tmp_path), name, PICTURE, "source")
    with pytest.raises(UserError, match=f"{name}: there already.*--overwrite"):
        save(outputs(tmp_path, maker), name, OTHER, source)
    assert colour(save(outputs(tmp_path, maker, overwrite=True), name, OTHER, source)) == (0, 0, 255)


def a_picture(path):
    PICTURE.save(path)


def a_text(path):
    path.write_text("mine")


def a_link(path):
    path.symlink_to(path.with_name("target"))


@pytest.mark.parametrize("make", [a_picture, a_text, a_link, os.mkdir, os.mkfifo])
def test_a_file_of_the_user_is_not_replaced(tmp_path, make):
    make(tmp_path / "a.png")
    with pytest.raises(UserError, match=r"a\.png: there already"):
        outputs(tmp_path).require_free(["b.png", "a.png"], "source")
    with pytest.raises(UserError, match=r"a\.png: there already"):
        outputs(tmp_path).free_stem("a", [".png", ".gif"], "source")


def test_inputs_of_one_name_get_outputs_of_their_own(tmp_path):
    stems = []
    for source in ("x/dog.jpg", "y/dog.jpg", "y/dog.png", "y/dog.jpg"):
        to = outputs(tmp_path)
        stems.append(to.free_stem("dog", [".png", ".gif"], source))
        to.save_png(f"{stems[-1]}.png", PICTURE, source)
    assert stems == ["dog", "dog_2", "dog_3", "dog_2"]


def test_what_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("mine")
    for folder in (tmp_path / "file", tmp_path / ("x" * 256)):
        with pytest.raises(UserError, match="cannot be written .*; name another folder"):
            outputs(folder).save_png("a.png", PICTURE, "source")


def test_a_mark_tells_nothing_of_the_machine(tmp_path):
    path = outputs(tmp_path).save_png("a.png", PICTURE, source="/home/someone/secret.jpg")
    assert b"secret" not in path.read_bytes() and b"eager-examples" in path.read_bytes()
