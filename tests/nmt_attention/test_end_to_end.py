import pytest

from common.app.cli import main
from common.training.run_directory import RunDirectory
from examples.nmt_attention.__main__ import COMMANDS
from examples.nmt_attention.demo import SentenceTranslator
from examples.nmt_attention.download.toy_grammar import tiny_pairs


def command(*arguments):
    return main("python -m examples.nmt_attention", "", COMMANDS, [str(argument) for argument in arguments])


def test_training_leaves_a_complete_run_directory(trained):
    names = {str(path.relative_to(trained.path)) for path in trained.path.rglob("*")}
    assert {
        "config.json", "vocabulary_source.json", "vocabulary_target.json", "metrics.csv", "samples/epoch_0006.txt",
        "figures/learning_curve.png", "figures/training.gif", "figures/attention_1.png",
        "tensorboard/source_vectors.tsv", "tensorboard/target_symbols.tsv",
    } <= names  # fmt: skip


@pytest.mark.nightly
def test_line_by_line_it_learns_the_same(tmp_path):
    rows = "".join(f"{pair.english}\t{pair.spanish}\n" for pair in tiny_pairs(60))
    data = [
        "--columns",
        "2,1",
        "--data",
        write(tmp_path, "few.tsv", rows.encode()),
        "--batch-size",
        8,
        "--held-out",
        0.2,
    ]

    def losses(name, *flags):
        flags = ["--preset", "tiny", "--epochs", 1, "--steps-per-epoch", 2, "--run-dir", tmp_path / name, *data, *flags]
        assert command("train", *flags) == 0
        [row] = RunDirectory(tmp_path / name).read_metrics()
        return row["loss"], row["val_loss"]

    assert losses("eager", "--eager") == pytest.approx(losses("compiled"), abs=1e-4)


def test_evaluate_and_export_say_what_they_wrote(trained, capsys, tmp_path):
    assert command("evaluate", "--run", trained.path, "--beam", 2) == 0
    output, page = capsys.readouterr().out, trained.report.read_text()
    assert "beam bleu" in output and output.count("reference") == 10
    assert "case:mixed" in page and "Translation and reference" in page and page.count("<img") >= 5
    assert command("export", "--run", trained.path, "--out", tmp_path / "model") == 0
    assert (tmp_path / "model" / "saved_model.pb").exists()


def test_translate_searches_as_its_flags_say(trained, translator, monkeypatch):
    searches = []
    monkeypatch.setattr(translator, "translate", lambda *search: searches.append(search) or [[]])
    monkeypatch.setattr(SentenceTranslator, "load", lambda run: translator)
    flags = ["--beam", 3, "--length-penalty", 0.5, "--batch-size", 7]
    assert command("translate", "--run", trained.path, *flags, "El gato.") == 0
    assert searches == [(["El gato."], 3, 0.5, 7)]


def write(folder, name, content):
    (folder / name).write_bytes(content)
    return folder / name


BAD_TRAINING = {
    "missing file": (lambda folder: ["--data", folder / "none.tsv"], "no such file"),
    "empty file": (lambda folder: ["--data", write(folder, "e.tsv", b"")], "empty"),
    "no tabs": (lambda folder: ["--data", write(folder, "n.tsv", b"a\nb\n")], "n.tsv: no tab between"),
    "latin-1": (lambda folder: ["--data", write(folder, "l.tsv", b"a\tb\nn\xe9\tc\n")], "l.tsv: line 2, byte offset 5"),
    "a column that is not there": (lambda folder: ["--columns", "1,3"], "sentence 1: no column 3; sentence 2"),
    "columns that make no sense": (lambda folder: ["--columns", "2,2"], "--columns: expected two different columns"),
    "no units": (lambda folder: ["--decoder-units", 0], "--decoder-units: expected 1 to 65,536, got 0"),
    "all held out": (lambda folder: ["--held-out", 0.5], "--held-out"),
    "too much smoothing": (lambda folder: ["--label-smoothing", 1.0], "--label-smoothing: expected 0 to below 1"),
}


@pytest.mark.parametrize("case", BAD_TRAINING)
def test_bad_input_is_one_line_and_exit_code_2(tmp_path, capsys, case):
    flags, message = BAD_TRAINING[case]
    assert command("train", "--preset", "tiny", "--run-dir", tmp_path / "run", *flags(tmp_path)) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and message in error and error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_run_of_other_settings_or_none_is_refused(trained, capsys, tmp_path):
    assert command("train", "--preset", "tiny", "--decoder-units", 7, "--run-dir", trained.path) == 2
    assert "decoder_units 64 there, 7 now" in capsys.readouterr().err
    for verb in ("translate", "evaluate", "export"):
        assert command(verb, "--run", tmp_path) == 2
        assert "not a run directory" in capsys.readouterr().err
