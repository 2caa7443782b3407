import numpy as np
import pytest
from PIL import Image

from common.app.cli import main
from common.training.run_directory import RunDirectory
from common.training.samples import sample_path
from examples.dcgan.__main__ import COMMANDS
from examples.dcgan.config import Config
from tests.dcgan.tiny import FLAGS
from tests.same_run import saved_variables


def command(*arguments):
    return main("python -m examples.dcgan", "", COMMANDS, [str(argument) for argument in arguments])


def test_a_checkpoint_contains_networks_ema_optimizers_and_random_state(trained):
    names = saved_variables(trained)
    for part in ("model/generator", "model/discriminator", "model/exponential_moving_average", "model/seed_generator"):
        assert any(name.startswith(part) for name in names)
    for optimizer in ("generator_optimizer/", "discriminator_optimizer/"):
        assert any(name.startswith(optimizer) for name in names)


def test_training_leaves_a_complete_run_directory(tmp_path, capsys):
    assert command("train", "--preset", "tiny", *FLAGS, "--run-dir", tmp_path / "run") == 0
    names = {str(path.relative_to(tmp_path / "run")) for path in (tmp_path / "run").rglob("*")}
    assert {
        "config.json", "metrics.csv", "report.html", "samples/epoch_0000.png", "samples/epoch_0003.png",
        "figures/learning_curve.png", "figures/training.gif", "figures/samples.png",
    } <= names  # fmt: skip
    output = capsys.readouterr().out
    assert "tiny: 2,000 images of 28 x 28 in grey" in output and "now try: python -m examples.dcgan evaluate" in output
    assert "gradient penalty R1 0.191" in output
    config = RunDirectory.open(tmp_path / "run", Config.EXAMPLE).read_config()
    assert config.settings["r1_gamma"] == 28 * 28 / 64**2  # the number, in case the default changes


def test_a_run_from_before_the_penalty_is_not_resumed_with_it(tmp_path, capsys):
    run = RunDirectory(tmp_path / "run")
    assert command("train", "--preset", "tiny", *FLAGS, "--r1-gamma", 0, "--run-dir", run.path) == 0
    run.config.write_text(run.config.read_text().replace('"r1_gamma": 0.0,', ""))
    assert command("train", "--preset", "tiny", *FLAGS, "--run-dir", run.path) == 2
    assert "r1_gamma 0.0 there, None now" in capsys.readouterr().err
    assert command("train", "--preset", "tiny", *FLAGS, "--r1-gamma", 0, "--run-dir", run.path) == 0


@pytest.mark.nightly
def test_line_by_line_it_learns_the_same(tmp_path):
    def losses(name, *flags):
        flags = ["--preset", "tiny", *FLAGS, "--epochs", 1, "--run-dir", tmp_path / name, *flags]
        assert command("train", *flags) == 0
        [row] = RunDirectory(tmp_path / name).read_metrics()
        return row["generator_loss"], row["discriminator_loss"]

    assert losses("eager", "--eager") == pytest.approx(losses("compiled"), abs=1e-3)


def test_generate_writes_sheets_files_and_interpolations(trained, capsys, tmp_path):
    def written(*flags):
        assert command("generate", "--run", trained.path, "--out", tmp_path, *flags) == 0
        return capsys.readouterr().out.strip().removeprefix("written: ")

    sheet = written("--seed", 7)
    assert sheet.endswith("seed_7_64.png") and Image.open(sheet).size[0] > 400
    assert Image.open(written("--interpolate", 1, 2, 3, "--samples", 4)).n_frames > 10
    for seed in (1, 2):
        written("--samples", 3, "--files", "--seed", seed)
    one, other = (np.asarray(Image.open(tmp_path / f"seed_{seed}_0000.png")) for seed in (1, 2))
    assert not np.array_equal(one, other)


def test_evaluate_and_export_say_what_they_wrote(trained, capsys, tmp_path):
    assert command("evaluate", "--run", trained.path, "--samples", 100) == 0
    assert "frechet_distance" in capsys.readouterr().out and "generated against" in trained.report.read_text()
    assert command("export", "--run", trained.path, "--out", tmp_path / "model") == 0
    assert (tmp_path / "model" / "saved_model.pb").exists()


def one_picture(folder):
    Image.new("RGB", (40, 30), "red").save(folder / "a.png")
    return folder


def test_a_single_picture_and_a_larger_batch_size_train(tmp_path):
    (tmp_path / "one").mkdir()
    flags = ["--preset", "tiny", "--data", one_picture(tmp_path / "one"), "--image-size", 16, "--batch-size", 64]
    assert command("train", *flags, "--epochs", 2, "--base-channels", 4, "--run-dir", tmp_path / "run") == 0
    assert all(np.isfinite(list(row.values())).all() for row in RunDirectory(tmp_path / "run").read_metrics())


def huge(folder):
    Image.new("L", (8000, 8000)).save(folder / "huge.png")
    return folder


BAD_TRAINING = {
    "missing folder": (lambda folder: ["--data", folder / "none"], "no such folder"),
    "empty folder": (lambda folder: ["--data", folder], "got 0 such files"),
    "only a huge picture": (lambda folder: ["--data", huge(folder)], "8000 x 8000 pixels"),
    "image size": (lambda folder: ["--image-size", 4], "--image-size: expected a number or height x width"),
    "patience": (lambda folder: ["--patience", 3], "--patience: a GAN has no validation loss"),
    "learning rate": (lambda folder: ["--generator-learning-rate", 0], "--generator-learning-rate"),
    "beta": (lambda folder: ["--beta-1", 1], "--beta-1"),
    "label": (lambda folder: ["--real-label", 0], "--real-label"),
}


@pytest.mark.parametrize("case", BAD_TRAINING)
def test_bad_input_is_one_line_and_exit_code_2(tmp_path, capsys, case):
    flags, message = BAD_TRAINING[case]
    (tmp_path / "data").mkdir()
    assert command("train", "--preset", "tiny", "--run-dir", tmp_path / "run", *flags(tmp_path / "data")) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and message in error and error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_bad_requests_for_images_are_refused(trained, capsys):
    for flags, message in [
        (["--samples", 0], "--samples"),
        (["--interpolate", 1], "--interpolate"),
        (["--interpolate", 1, 2, "--files"], "--files and --interpolate"),
        (["--seed", -1], "--seed"),
    ]:
        assert command("generate", "--run", trained.path, *flags) == 2
        assert message in capsys.readouterr().err


def test_a_folder_that_is_no_run_is_refused(tmp_path, capsys):
    for verb in ("generate", "evaluate", "export"):
        assert command(verb, "--run", tmp_path) == 2
        assert "not a run directory" in capsys.readouterr().err


def test_weights_of_earlier_epochs_are_kept_and_generate_what_was_seen_then(tmp_path):
    run = RunDirectory(tmp_path / "run")
    flags = [*FLAGS, "--epochs", "5", "--keep-every", "2", "--run-dir", run.path]
    assert command("train", "--preset", "tiny", *flags) == 0
    assert sorted(path.name for path in run.checkpoints.glob("epoch-*")) == ["epoch-00000002", "epoch-00000004"]
    for epoch in (2, 4):
        assert command("generate", "--run", run.path, "--epoch", epoch, "--samples", "16") == 0
        generated = run.path / "generated" / f"epoch_{epoch:04d}" / "seed_1_16.png"
        sample = sample_path(run, epoch, ".png")
        assert np.array_equal(np.asarray(Image.open(generated)), np.asarray(Image.open(sample)))
    assert command("generate", "--run", run.path, "--epoch", 4, "--out", tmp_path / "out") == 0
    assert command("generate", "--run", run.path, "--epoch", 2, "--out", tmp_path / "out") == 2, "another picture"


def test_an_epoch_that_was_not_kept_is_one_line(trained, capsys):
    assert command("generate", "--run", trained.path, "--epoch", 2) == 2
    assert "--epoch: expected one that was kept (none), got 2; --keep-every keeps more" in capsys.readouterr().err
