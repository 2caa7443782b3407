"""Group F: a run that comes from a stranger is data: nothing of it is executed, and nothing outside it is touched."""

import contextlib
import errno
import hashlib
import json
import os
import shutil
import sys

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file, save

from common.training.checkpoints import list_checkpoints
from common.training.run_directory import RunDirectory
from tests.faults.test_d_models import USE, a_picture, one_line_of_error
from tests.nightly import some_nightly

EXAMPLE = "text_generation"


@pytest.fixture
def stranger(tmp_path, trained, monkeypatch):
    """Copies a finished run of an example to where a stranger's would lie: this user has never trained it."""
    monkeypatch.chdir(tmp_path)

    def copied(example=EXAMPLE):
        run = RunDirectory(shutil.copytree(trained(example).path, tmp_path / "strangers" / example))
        edit(run.config, lambda config: config.update(created="long ago"))
        return run

    return copied


def edit(path, change):
    value = json.loads(path.read_text(encoding="utf-8"))
    change(value)
    path.write_text(json.dumps(value), encoding="utf-8")


def rewrite_state(checkpoint, change):
    """Change the payload of state.json and its checksum, as an attacker can."""
    entry = json.loads((checkpoint / "state.json").read_text())
    content = change(json.loads(entry["payload"]))
    payload = json.dumps(content)
    checksum = hashlib.sha256(payload.encode()).hexdigest()
    (checkpoint / "state.json").write_text(json.dumps({"checksum": checksum, "payload": payload}))


def verbs(run, example=EXAMPLE):
    """The command lines that a person would try on a run."""
    use = [*USE[example], "--run", run.path]
    train = ["train", "--preset", "tiny", "--epochs", "1", "--steps-per-epoch", "2", "--run-dir", run.path]
    return {"use": use, "evaluate": ["evaluate", "--run", run.path], "train": train}


# What it names is not used.


def crafted_data_set(folder):
    """A data set of tensorflow-datasets whose features are a class of a module that writes a file when imported."""
    version = folder / "tensorflow_datasets" / "poem" / "1.0.0"
    version.mkdir(parents=True)
    (version / "features.json").write_text('{"type": "payload_of_a_stranger.Feature", "content": {}}')
    (version / "dataset_info.json").write_text('{"name": "poem", "version": "1.0.0", "splits": []}')
    (folder / "payload_of_a_stranger.py").write_text(f"open({str(folder / 'executed')!r}, 'w')")


@pytest.mark.parametrize("verb", ["evaluate", "use", "train"])
def test_f01_a_run_executes_nothing(tmp_path, stranger, command, capsys, monkeypatch, verb):
    run = stranger()
    crafted_data_set(run.path)
    monkeypatch.syspath_prepend(run.path)  # as `python -m` does with the current folder
    edit(run.config, lambda config: config["settings"].update(data="tfds:poem"))
    code = command(EXAMPLE, *verbs(run)[verb])
    assert not (run.path / "executed").exists() and "payload_of_a_stranger" not in sys.modules
    if verb == "use":  # to write, no data is needed
        assert code == 0
    else:
        assert code == 2 and one_line_of_error(capsys)


def test_f01_nor_does_a_data_set_that_the_user_names(tmp_path, stranger, command, capsys, monkeypatch):
    run = stranger()
    crafted_data_set(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    assert command(EXAMPLE, "evaluate", "--run", run.path, "--data", "tfds:poem", "--data-dir", tmp_path) == 2
    assert "code from outside tensorflow_datasets" in one_line_of_error(capsys)
    assert not (tmp_path / "executed").exists()


def test_f01_control_without_the_check_of_features_it_would(tmp_path, stranger, command, monkeypatch):
    from common.data import tfds

    run = stranger()
    crafted_data_set(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(tfds, "_without_foreign_code", lambda connector: contextlib.nullcontext())
    assert command(EXAMPLE, "evaluate", "--run", run.path, "--data", "tfds:poem", "--data-dir", tmp_path) == 2
    assert (tmp_path / "executed").exists()
    sys.modules.pop("payload_of_a_stranger", None)


@pytest.mark.parametrize("name", ["../evil", "a/b/data_dir=x", "huggingface:x", "kaggle:x/y", "", "a b", "a/../b"])
def test_f01_names_that_lead_elsewhere_are_no_data_sets(command, capsys, stranger, name):
    assert command(EXAMPLE, "evaluate", "--run", stranger().path, "--data", f"tfds:{name}") == 2
    assert "expected NAME" in one_line_of_error(capsys)


@pytest.mark.parametrize("data", ["/etc/passwd", "/dev/zero", "secret.txt", "tfds:tiny_shakespeare"])
def test_f02_data_is_read_only_if_the_user_names_it(tmp_path, stranger, command, capsys, data):
    (tmp_path / "secret.txt").write_text("secret " * 100)
    run = stranger()
    edit(run.config, lambda config: config["settings"].update(data=data))
    before = snapshot(tmp_path)
    assert command(EXAMPLE, "evaluate", "--run", run.path) == 2
    assert f"--data {data}" in one_line_of_error(capsys) and snapshot(tmp_path) == before


def test_f02_what_this_user_trained_here_is_found_wherever_the_user_stands(tmp_path, command, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.txt").write_text("To be, or not to be, that is the question.\n" * 20)
    train = ["train", "--preset", "tiny", "--data", "mine.txt", "--epochs", 1, "--run-dir", tmp_path / "run"]
    assert command(EXAMPLE, *train) == 0
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert command(EXAMPLE, "evaluate", "--run", tmp_path / "run") == 0
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache of another user"))
    assert command(EXAMPLE, "evaluate", "--run", tmp_path / "run") == 2
    assert "--data mine.txt" in one_line_of_error(capsys)
    assert command(EXAMPLE, "evaluate", "--run", tmp_path / "run", "--data", tmp_path / "mine.txt") == 0


# Whatever its files hold, an answer or one line.


def settings(**values):
    return "config.json", lambda run: edit(run.config, lambda config: config["settings"].update(values))


def config(**values):
    return "config.json", lambda run: edit(run.config, lambda config: config.update(values))


def content(name, text):
    return name, lambda run: (run.path / name).write_text(text)


def state(**values):
    def change(run):
        for path in list_checkpoints(run.checkpoints, "latest"):
            rewrite_state(path, lambda payload: payload | {"state": payload["state"] | values})

    return "state.json", change


def whole_state(value):
    return "state.json", lambda run: [
        rewrite_state(path, lambda payload: payload | {"state": value})
        for path in list_checkpoints(run.checkpoints, "latest")
    ]


UNFINISHED = {"finished": "", "history": [], "epoch": 0}
CRAFTED = {
    "seed beyond NumPy's": settings(seed=2**32),
    "seed of thirty digits": settings(seed=10**30),
    "units of thirty digits": settings(units=10**30),
    "a million layers": settings(layers=10**6),
    "epochs below 0": settings(epochs=-1),
    "batch size 0": settings(batch_size=0),
    "learning rate infinite": settings(learning_rate=float("inf")),
    "learning rate no number": settings(learning_rate=float("nan")),
    "units true": settings(units=True),
    "units as text": settings(units="192"),
    "data a list": settings(data=["x"]),
    "an unknown setting": settings(depth=3),
    "a setting that no run keeps": settings(data_dir="/"),
    "an unknown entry": config(plugin="x.py"),
    "an example that leads elsewhere": config(example="../text_generation"),
    "versions a list": config(versions=[]),
    "JSON nested two thousand deep": content("config.json", "[" * 2000),
    "a config of two megabytes": content("config.json", json.dumps("x" * (1 << 21))),
    "a number of ten thousand digits": content("config.json", '{"example": ' + "9" * 10_000 + "}"),
    "half a character": content("vocabulary.json", '["\\ud800", "a"]'),
    "no vocabulary": content("vocabulary.json", "[]"),
    "symbols twice": content("vocabulary.json", '["a", "a"]'),
    "state a list": whole_state([]),
    "state with one more entry": state(**UNFINISHED, momentum=1),
    "epoch below 0": state(**(UNFINISHED | {"epoch": -1})),
    "epochs beyond the last": state(**(UNFINISHED | {"epoch": 10**9})),
    "a batch beyond all": state(**UNFINISHED, batch_in_epoch=10**12),
    "a history of numbers": state(**(UNFINISHED | {"history": [1, 2]})),
    "a step as text": state(**UNFINISHED, step="\x1b[31m1"),
    "seconds infinite": state(**UNFINISHED, seconds=float("inf")),
    "epochs that are no numbers": content("metrics.csv", "epoch,step,seconds,loss,val_loss\nnan,1,1,1,1\n"),
    "epochs without end": content("metrics.csv", "epoch,step,seconds,loss,val_loss\ninf,1,1,1,1\n"),
    "epochs of 300 digits": content("metrics.csv", "epoch,step,seconds,loss,val_loss\n1e300,1,1,1,1\n"),
    "seconds that are no number": content("metrics.csv", "epoch,step,seconds,loss,val_loss\n1,1,nan,1,1\n"),
    "other columns": content("metrics.csv", "epoch,step,seconds,x\n1,2,3,4\n"),
    "too many columns": content("metrics.csv", "epoch,step,seconds,loss,val_loss\n1,2,3,4,5,6\n"),
    "metrics a text": content("evaluation.json", '{"split": "x", "rule": "r", "seconds": 1, "metrics": "x"}'),
    "a split that leads elsewhere": content(
        "evaluation.json", '{"split": "../../secret", "rule": "r", "seconds": 1, "metrics": {}}'
    ),
    "a picture that is none": content("figures/loss_heatmap.png", "no picture"),
    "a sample that is no text": ("samples", lambda run: (run.samples / "epoch_0000.txt").write_bytes(b"\xff")),
}


@pytest.mark.parametrize("case", CRAFTED)
def test_f03_whatever_a_run_holds_there_is_an_answer_or_one_line(stranger, command, capsys, case):
    where, change = CRAFTED[case]
    run = stranger()
    change(run)
    before = snapshot(run.path)
    codes = {}
    commands = verbs(run)
    if where == "evaluation.json":  # which `evaluate` would write again
        commands = dict(reversed(commands.items()))
    for verb, arguments in commands.items():
        capsys.readouterr()
        codes[verb] = command(EXAMPLE, *arguments)
        output = capsys.readouterr()
        assert "Traceback" not in output.err and "\x1b" not in output.out + output.err
        assert codes[verb] == 0 or codes[verb] == 2 and output.err.splitlines()[-1].startswith("error: "), output.err
    assert 2 in codes.values()
    assert not any(path.name.startswith("damaged") for path in run.checkpoints.iterdir())
    if where == "config.json":
        assert set(codes.values()) == {2} and snapshot(run.path) == before


def test_f03_a_loss_may_be_any_number(stranger, command):
    run = stranger()
    for loss in ("nan", "inf", "-1e300"):
        run.metrics.write_text(f"epoch,step,seconds,loss,val_loss\n1,2,1.5,{loss},{loss}\n")
        assert command(EXAMPLE, "evaluate", "--run", run.path) == 0


def test_f03_images_of_another_shape_are_refused(stranger, command, capsys):
    run = stranger("dcgan")
    for shape in ({"image_size": 10**9}, {"image_size": "28x280"}, {"channels": 2}, {"channels": None}):
        original = run.config.read_text()
        edit(run.config, lambda config, shape=shape: config["data"].update(shape))
        assert command("dcgan", "generate", "--run", run.path) == 2
        assert "config.json" in one_line_of_error(capsys)
        run.config.write_text(original)


def altered_weights(rng, path):
    raw = bytearray(path.read_bytes())
    for _ in range(rng.integers(1, 4)):
        place = int(rng.integers(0, min(len(raw), 3000)))
        raw[place] = int(rng.integers(256))
    return bytes(raw[: rng.integers(8, len(raw))] if rng.random() < 0.2 else raw)


def test_f04_weights_that_were_made_to_harm_are_refused(stranger, command, capsys):
    """With the right digests: a header that was altered, and arrays of other shapes, types and names."""
    run = stranger()
    rng = np.random.default_rng(1)
    newest = list_checkpoints(run.checkpoints, "best")[0]
    path = newest / "variables.safetensors"
    whole = path.read_bytes()
    tensors = load_file(path)
    name = next(iter(tensors))
    others = [
        save({**tensors, name: tensors[name].astype("float64")}),
        save({**tensors, name: tensors[name][..., :1]}),
        save({n: t for n, t in tensors.items() if n != name}),
        (2**63).to_bytes(8, "little") + whole[8:],
        b"",
    ]
    for content in [*(altered_weights(rng, path) for _ in range(12)), *others]:
        path.write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        rewrite_state(newest, lambda payload, digest=digest: payload | {"variables": digest})
        capsys.readouterr()
        if command(EXAMPLE, *verbs(run)["use"]) == 2:
            one_line_of_error(capsys)
        path.write_bytes(whole)
    assert newest.is_dir() and not list(run.checkpoints.glob("damaged-*"))


def test_f05_nothing_out_of_a_run_drives_the_terminal(stranger, command, capsys):
    run = stranger()
    escape = "\x1b]0;PWNED\x07\x1b[31m"
    newest = list_checkpoints(run.checkpoints, "latest")[0]
    rewrite_state(newest, lambda payload: payload | {"state": payload["state"] | {"finished": escape}})
    assert command(EXAMPLE, *verbs(run)["train"]) == 0
    rewrite_state(newest, lambda payload: payload | {"variables": escape})
    assert command(EXAMPLE, *verbs(run)["train"]) == 2
    edit(run.config, lambda config: config["settings"].update(prompt=escape))
    assert command(EXAMPLE, *verbs(run)["use"]) == 2
    edit(run.config, lambda config: config["settings"].update({escape: 1}))
    assert command(EXAMPLE, *verbs(run)["use"]) == 2
    output = capsys.readouterr()
    assert "PWNED" in output.out and "PWNED" in output.err and not {"\x1b", "\x07"} & {*output.out, *output.err}


# Links, pipes and devices in it lead nowhere.


def snapshot(folder):
    """What stands in a folder, to the byte, links as links."""
    return {
        str(path.relative_to(folder)): os.readlink(path) if path.is_symlink() else path.is_file() and path.read_bytes()
        for path in sorted(folder.rglob("*"))
    }


@pytest.fixture
def victim(tmp_path):
    """A folder of the user with all that was lost before."""
    folder = tmp_path / "home"
    (folder / "backup.tmp").mkdir(parents=True)
    names = ".bashrc", "backup.tmp/precious", "epoch_0000.txt", "loss_heatmap.png", "latest-00000001.1.tmp", ".x.tmp"
    for name in names:
        (folder / name).write_text(f"canary {name}")
    return folder


PLACES = [
    ".lock", "config.json", "vocabulary.json", "metrics.csv", "evaluation.json", "report.html", "checkpoints",
    "samples", "figures", "tensorboard", "figures/loss_heatmap.png", "samples/epoch_0001.txt",
    "checkpoints/latest-00000002", "checkpoints/best-00000002/variables.safetensors", "saved_model", "new",
]  # fmt: skip


def put_link(run, place, target):
    path = run.path / place
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    path.symlink_to(target)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("target", [".bashrc", ".", "not there"])
def test_f06_no_link_in_a_run_is_followed(stranger, victim, command, capsys, place, target):
    run = stranger()
    original = run.path.with_name("original")
    run.path.rename(original)
    before = snapshot(victim)
    fresh = [*verbs(run)["train"], "--fresh"]
    for arguments in (*verbs(run).values(), fresh, ["export", "--run", run.path]):
        shutil.copytree(original, run.path)
        put_link(run, place, victim / target)
        assert command(EXAMPLE, *arguments) == 2
        assert "not a run directory" in (error := one_line_of_error(capsys)) or f"{place}: a link" in error
        shutil.rmtree(run.path)
    assert snapshot(victim) == before and not list(run.path.parent.glob("*.old-*"))


@pytest.mark.parametrize("place", PLACES)
def test_f07_no_pipe_or_device_in_a_run_is_waited_for(stranger, command, capsys, place):
    run = stranger()
    for make in (os.mkfifo, lambda path: os.symlink("/dev/zero", path)):
        put_link(run, place, "x")
        (run.path / place).unlink()
        make(run.path / place)
        for arguments in verbs(run).values():
            assert command(EXAMPLE, *arguments) == 2
            one_line_of_error(capsys)


def test_f06_a_lock_that_is_a_second_name_of_another_file_is_left_alone(stranger, victim, command, capsys):
    run = stranger()
    run.lock.unlink(missing_ok=True)
    os.link(victim / ".bashrc", run.lock)
    assert command(EXAMPLE, *verbs(run)["train"]) == 2
    assert "a file without links" in one_line_of_error(capsys) and (victim / ".bashrc").read_text() == "canary .bashrc"


def test_f06_a_link_to_a_run_is_the_users_own(tmp_path, stranger, command):
    (tmp_path / "link").symlink_to(stranger().path)
    for arguments in verbs(RunDirectory(tmp_path / "link")).values():
        assert command(EXAMPLE, *arguments) == 0


def test_f06_files_of_the_user_in_a_new_run_directory_stay(tmp_path, command, capsys):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".x.tmp").write_text("mine")
    assert command(EXAMPLE, *verbs(RunDirectory(tmp_path / "run"))["train"]) == 2
    assert "not empty and not a run directory" in one_line_of_error(capsys)
    assert (tmp_path / "run" / ".x.tmp").read_text() == "mine"


# A run that cannot be written to.

_read_only: list[str] = []


def _refuse_writes(event, arguments):
    """Answer as a read-only file system does; permissions would not keep root out."""
    if not _read_only or event not in ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate"):
        return
    paths = [os.fsdecode(path) for path in arguments if isinstance(path, (str, bytes, os.PathLike))]
    is_write = event != "open" or arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    if is_write and any(path.startswith(folder) for path in paths for folder in _read_only):
        raise OSError(errno.EROFS, "Read-only file system", paths[0])


sys.addaudithook(_refuse_writes)


@pytest.fixture
def read_only():
    yield lambda folder: _read_only.append(str(folder))
    _read_only.clear()


@pytest.mark.parametrize("example", some_nightly(["text_generation", "nmt_attention"], "nmt_attention"))
def test_f08_a_run_that_is_read_only_can_be_used_and_measured(tmp_path, stranger, command, capsys, read_only, example):
    run = stranger(example)
    read_only(run.path)
    before = snapshot(run.path)
    assert command(example, *USE[example], "--run", run.path) == 0
    assert command(example, "evaluate", "--no-write", "--run", run.path) == 0
    assert command(example, "export", "--run", run.path, "--out", tmp_path / "model") == 0
    capsys.readouterr()
    for arguments in (
        ["evaluate", "--run", run.path],
        ["export", "--run", run.path],
        ["train", "--preset", "tiny", "--epochs", 1, "--steps-per-epoch", 2, "--run-dir", run.path],
        ["train", "--preset", "tiny", "--fresh", "--run-dir", run.path],
    ):
        assert command(example, *arguments) == 2, arguments
        assert "ead-only file system" in one_line_of_error(capsys)
    assert snapshot(run.path) == before


def test_f08_pictures_go_elsewhere(tmp_path, stranger, command, capsys, read_only):
    runs = {example: stranger(example) for example in ("dcgan", "image_captioning")}
    for run in runs.values():
        read_only(run.path)
    photo = a_picture(tmp_path)
    for example, arguments in {"dcgan": ["generate"], "image_captioning": ["caption", photo]}.items():
        assert command(example, *arguments, "--run", runs[example].path) == 2
        assert "Read-only file system); name another folder" in one_line_of_error(capsys)
        assert command(example, *arguments, "--run", runs[example].path, "--out", tmp_path / "out") == 0


# Files of the user.


def picture_bytes(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def album(folder):
    folder.mkdir(parents=True)
    for name, colour in (("dog.jpg", "red"), ("beach.png", "blue"), ("cat.gif", "green")):
        Image.new("RGB", (40, 30), colour).save(folder / name)
    return folder


def test_f09_captions_never_replace_photos(tmp_path, stranger, command, capsys):
    photos = album(tmp_path / "photos")
    run = stranger("image_captioning")
    before = picture_bytes(photos)
    assert command("image_captioning", "caption", "--run", run.path, "--out", photos, photos) == 2
    assert "beach.png: there already" in one_line_of_error(capsys)
    assert {name: (photos / name).read_bytes() for name in before} == before


def test_f09_photos_of_one_name_get_pictures_of_their_own(tmp_path, stranger, command, capsys):
    photos = [tmp_path / name for name in ("a/dog.png", "b/dog.png", "b/dog.bmp")]
    for photo, colour in zip(photos, ("red", "yellow", "blue"), strict=True):
        photo.parent.mkdir(exist_ok=True)
        Image.new("RGB", (40, 30), colour).save(photo)
    run = stranger("image_captioning")
    drawn = []
    for _ in range(2):
        assert command("image_captioning", "caption", "--run", run.path, "--out", tmp_path / "out", *photos) == 0
        drawn.append(sorted(path.name for path in (tmp_path / "out").glob("*.png")))
    assert drawn == [["dog.png", "dog_2.png", "dog_3.png"]] * 2
    lines = [line for line in capsys.readouterr().out.splitlines() if "dog" in line]
    places = ["/out/dog.png", "/out/dog_2.png", "/out/dog_3.png"] * 2
    assert all(place in line for place, line in zip(places, lines, strict=True))
    sheets = [Image.open(tmp_path / "out" / name).convert("RGB") for name in drawn[0]]
    assert len({sheet.getpixel((30, sheet.height // 2)) for sheet in sheets}) == 3


CLASHES = {
    "dcgan sheet": ("dcgan", ["generate", "--out"], "seed_1_64.png"),
    "dcgan files": ("dcgan", ["generate", "--files", "--samples", "2", "--out"], "seed_1_0001.png"),
    "dcgan interpolation": (
        "dcgan",
        ["generate", "--interpolate", "1", "2", "--samples", "1", "--out"],
        "interpolation_1_2_1.gif",
    ),
    "maps": ("nmt_attention", ["translate", "El gato ve la casa.", "--attention"], "0001.png"),
    "saved model": ("text_generation", ["export", "--out"], "saved_model.pb"),
}


@pytest.mark.parametrize("case", CLASHES)
def test_f09_no_output_replaces_a_file_of_the_user(tmp_path, stranger, command, capsys, case):
    example, arguments, name = CLASHES[case]
    run = stranger(example)
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / name).write_text("mine")
    arguments = [*arguments, folder, "--run", run.path]
    assert command(example, *arguments) == 2
    assert "--overwrite" in one_line_of_error(capsys) and picture_bytes(folder) == {name: b"mine"}
    assert command(example, *arguments, "--overwrite") == 0
    assert command(example, *arguments) == 0  # its own by now
    assert (folder / name).read_bytes() != b"mine"


def test_f09_another_seed_or_sentence_does_not_replace_what_was_made_before(tmp_path, stranger, command, capsys):
    run = stranger("dcgan")
    for seed in (1, 2):
        files = ["generate", "--files", "--samples", 2, "--seed", seed, "--run", run.path, "--out", tmp_path / "made"]
        assert command("dcgan", *files) == 0
    assert len(os.listdir(tmp_path / "made")) == 4
    run = stranger("nmt_attention")
    maps = ["--attention", tmp_path / "maps", "--run", run.path]
    assert command("nmt_attention", "translate", "El gato ve la casa.", *maps) == 0
    before = picture_bytes(tmp_path / "maps")
    assert command("nmt_attention", "translate", "La niña ve la flor.", *maps) == 2
    assert "0001.png: there already" in one_line_of_error(capsys) and picture_bytes(tmp_path / "maps") == before
