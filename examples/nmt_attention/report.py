"""The report of a translation run on one page: metrics, translations, training curves and attention maps."""

from pathlib import Path

from common.app import report
from common.training.run_directory import RunDirectory, read_listing
from common.training.samples import read_samples
from examples.nmt_attention.demonstrate.attention_plots import LOSS_UNIT


def write_report(run: RunDirectory) -> Path:
    """Write `report.html` from the files of the run directory and return its path."""
    lead = "An encoder and a decoder with attention, trained on pairs of sentences without word alignment."
    gif = run.figures / "training.gif"
    if not gif.exists():  # stopped within the first epoch
        return report.write_report(run, "Translation", lead, [])
    learning = [
        report.Picture(run.figures / "learning_curve.png", "Loss by epoch, in nats per token"),
        report.Picture(gif, "Attention weights of the same translation, after every epoch"),
    ]
    maps = [
        report.Picture(
            path, "Each row is a word of the translation, each column a word of the source; dark means a large weight"
        )
        for path in sorted(run.figures.glob("attention_*.png"))
    ]
    evaluated = run.read_evaluation()
    examples = run.samples / f"{evaluated.split}.txt" if evaluated else None
    sections = [
        report.section_on_evaluation(run),
        report.Section(
            "Translation and reference",
            listings=[("Ten held-out sentences, from the shortest to the longest", read_listing(examples))],
        )
        if examples
        else None,
        report.Section("Training", pictures=learning, listings=read_samples(run, LOSS_UNIT)),
        report.Section("Attention", pictures=maps),
    ]
    return report.write_report(run, "Translation", lead, sections)
