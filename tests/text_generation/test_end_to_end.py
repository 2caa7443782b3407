from types import SimpleNamespace

import pytest

from common.app.cli import main
from common.training.run_directory import RunDirectory
from examples.text_generation.__main__ import COMMANDS
from examples.text_generation.demo import Sampling, TextGenerator
from tests.text_generation.tiny import FLAGS


def command(*arguments):
    return main("python -m examples.text_generation", "", COMMANDS, [str(argument) for argument in arguments])


def test_training_leaves_a_complete_run_directory(tmp_path, capsys):
    assert command("train", "--preset", "tiny", "--epochs", 1, "--run-dir", tmp_path / "run") == 0
    names = {str(path.relative_to(tmp_path / "run")) for path in (tmp_path / "run").rglob("*")}
    assert {
        "config.json", "vocabulary.json", "metrics.csv", "report.html", "samples/epoch_0001.txt",
        "figures/learning_curve.png", "figures/training.gif", "figures/loss_heatmap.png",
        "tensorboard/characters_vectors.tsv",
    } <= names  # fmt: skip
    output = capsys.readouterr().out
    assert (
        "uniform guess: a loss of 3.932 nats" in output
        and "now try: python -m examples.text_generation generate" in output
    )


def test_line_by_line_it_learns_the_same(tmp_path):
    def losses(name, *flags):
        flags = ["--preset", "tiny", "--epochs", 1, "--steps-per-epoch", 3, "--run-dir", tmp_path / name, *flags]
        assert command("train", *flags) == 0
        [row] = RunDirectory(tmp_path / name).read_metrics()
        return row["loss"], row["val_loss"]

    assert losses("eager", "--eager") == pytest.approx(losses("compiled"), abs=1e-4)


def test_generate_writes_to_stdout_and_repeats_itself(trained, capsys, tmp_path):
    def output(*flags):
        assert command("generate", "--run", trained.path, "--length", 50, *flags) == 0
        return capsys.readouterr().out

    assert output("--seed", 7) == output("--seed", 7) != output("--seed", 8)
    (tmp_path / "prompt.txt").write_text("The lamp")
    seeded = "--seed", 1
    assert output("--prompt-file", tmp_path / "prompt.txt", *seeded) == output("--prompt", "The lamp", *seeded)
    assert output("--samples", 2).startswith("--- 1 of 2 ---\nMIRA:")


def test_generate_draws_as_its_flags_say(trained, monkeypatch):
    calls = []
    generator = SimpleNamespace(
        stream=lambda *arguments: calls.append(arguments) or iter([["x"]]),
        generate=lambda *arguments: calls.append(arguments) or ["x"],
    )
    monkeypatch.setattr(TextGenerator, "load", lambda run: generator)
    flags = ["--temperature", 0.3, "--top-k", 5, "--top-p", 0.9, "--seed", 7, "--length", 3]
    for samples in (1, 2):
        assert command("generate", "--run", trained.path, "--prompt", "MIRA:", *flags, "--samples", samples) == 0
    expected = "MIRA:", 3, Sampling(temperature=0.3, top_k=5, top_p=0.9, seed=7)
    assert calls == [expected, (*expected, 2)]


def test_the_line_end_of_a_prompt_file_is_dropped_where_the_model_knows_none(tmp_path):
    from examples.text_generation.demo import read_prompt_file

    (tmp_path / "prompt.txt").write_text("The lamp\n")
    assert read_prompt_file(tmp_path / "prompt.txt", None, ["T", "\n"]) == "The lamp\n"
    assert read_prompt_file(tmp_path / "prompt.txt", None, ["T"]) == "The lamp"


def test_without_a_seed_each_text_is_another_and_can_be_had_again(trained, capsys):
    def generated(*flags):
        assert command("generate", "--run", trained.path, "--length", 50, *flags) == 0
        return capsys.readouterr()

    one, other = generated(), generated()
    assert len(one.out) == len("MIRA:") + 50 + 1 and one.out != other.out
    flag = one.err.partition("(")[2].split()[:2]
    assert generated(*flag).out == one.out and generated("--temperature", 0).err == ""


def test_evaluate_and_export_say_what_they_wrote(trained, capsys, tmp_path):
    assert command("evaluate", "--run", trained.path) == 0
    assert "nats_per_char" in capsys.readouterr().out and "state carried" in trained.report.read_text()
    assert command("export", "--run", trained.path, "--out", tmp_path / "model") == 0
    assert (tmp_path / "model" / "saved_model.pb").exists()


def write(folder, name, content):
    (folder / name).write_bytes(content)
    return folder / name


BAD_TRAINING = {
    "missing file": (lambda folder: ["--data", folder / "none.txt"], "no such file"),
    "empty file": (lambda folder: ["--data", write(folder, "empty.txt", b"")], "empty"),
    "short file": (lambda folder: ["--data", write(folder, "s.txt", b"short")], "5 characters are too few"),
    "latin-1": (lambda folder: ["--data", write(folder, "l.txt", b"ab\nn\xe9\n")], "l.txt: line 2, byte offset 4"),
    "no units": (lambda folder: ["--units", 0], "--units: expected 1 to 65,536, got 0"),
    "unknown name": (lambda folder: ["--data", "shakespear"], "known are shakespeare, tiny"),
    "too much dropout": (lambda folder: ["--dropout", 1.0], "--dropout"),
    "prompt that the text lacks": (lambda folder: ["--prompt", "ÄÖÜ"], "'Ä' 'Ö' 'Ü'"),
}


@pytest.mark.parametrize("case", BAD_TRAINING)
def test_bad_input_is_one_line_and_exit_code_2(tmp_path, capsys, case):
    flags, message = BAD_TRAINING[case]
    assert command("train", "--preset", "tiny", "--run-dir", tmp_path / "run", *flags(tmp_path)) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and message in error and error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_run_of_other_settings_is_refused(trained, capsys):
    assert command("train", "--preset", "tiny", *FLAGS, "--units", 7, "--run-dir", trained.path) == 2
    assert "units 192 there, 7 now" in capsys.readouterr().err


def test_a_folder_that_is_no_run_is_refused(tmp_path, capsys):
    for verb in ("generate", "evaluate", "export"):
        assert command(verb, "--run", tmp_path) == 2
        assert "not a run directory" in capsys.readouterr().err
