"""The report of a captioning run: metrics, figures and captions on one page."""

from pathlib import Path

from common.app import report
from common.training.run_directory import RunDirectory
from common.training.samples import read_samples


def write_report(run: RunDirectory) -> Path:
    """Write `report.html` from what the run directory holds by now, and return its path."""
    lead = "An LSTM with attention captions photos, and attends to the photo for every word."
    learning = {
        "learning_curve.png": "Loss by epoch, in nats per word",
        "training.gif": "The same photo captioned after every epoch, with attention",
    }
    sheets = {"caption_*.png": "A photo, and the attention for each word of its caption"}
    note = (
        "Each photo as it is, then once for each word, lit by the attention. The number beside a word is the peak of "
        "the attention in multiples of uniform attention."
    )
    listings = read_samples(run, "nats a word")
    sections = [
        report.section_on_evaluation(run),
        report.Section("Attention", note, pictures=report.figures(run, sheets)),
        report.Section("Training", pictures=report.figures(run, learning), listings=listings),
    ]
    return report.write_report(run, "Image captioning", lead, sections)
