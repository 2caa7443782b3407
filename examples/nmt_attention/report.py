"""The report of a translation run on one page: metrics, translations, training curves and attention maps."""

from pathlib import Path

from common.app import report
from common.training.run_directory import RunDirectory, read_listing
from common.training.samples import read_samples
from examples.nmt_attention.demonstrate.attention_plots import LOSS_UNIT


def write_report(run: RunDirectory) -> Path:
    """Write `report.html` from the files of the run directory and return its path."""
    lead = "An encoder and a decoder with attention, trained on pairs of sentences without word alignment."
    learning = {
        "learning_curve.png": "Loss by epoch, in nats per token",
        "training.gif": "Attention weights of the same translation, after every epoch",
    }
    note = "Each row is a word of the translation, each column a word of the source; dark means a large weight"
    evaluated = run.read_evaluation()
    title = "Ten held-out sentences, from the shortest to the longest"
    translations = [(title, read_listing(run.samples / f"{evaluated.split}.txt"))] if evaluated else []
    listings = read_samples(run, LOSS_UNIT)
    sections = [
        report.section_on_evaluation(run),
        report.Section("Translation and reference", listings=translations),
        report.Section("Training", pictures=report.figures(run, learning), listings=listings),
        report.Section("Attention", pictures=report.figures(run, {"attention_*.png": note})),
    ]
    return report.write_report(run, "Translation", lead, sections)
