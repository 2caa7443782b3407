"""The report of a text generation run: what it learned, in pictures, samples and numbers, on one page."""

from pathlib import Path

from common.app import report
from common.training.run_directory import RunDirectory
from common.training.samples import read_samples
from examples.text_generation.config import Config


def write_report(run: RunDirectory) -> Path:
    """Write `report.html` from what the run directory holds by now, and return its path."""
    lead = "A recurrent network that reads one token at a time, learned to write from nothing but the text."
    unit = Config.from_settings(run.read_config().settings).loss_unit
    learning = {
        "learning_curve.png": f"Loss by epoch, in {unit}",
        "training.gif": "The same prompt continued after every epoch",
    }
    heatmap = {"loss_heatmap.png": "A validation passage, each character shaded by its negative log-likelihood"}
    listings = read_samples(run, unit)
    sections = [
        report.section_on_evaluation(run),
        report.Section("Learning to write", pictures=report.figures(run, learning), listings=listings),
        report.Section("Loss of each character", pictures=report.figures(run, heatmap)),
    ]
    return report.write_report(run, "Text generation", lead, sections)
