"""The report of a text generation run: what it learned, in pictures, samples and numbers, on one page."""

from pathlib import Path

from common.app import report
from common.training.run_directory import RunDirectory
from common.training.samples import read_samples
from examples.text_generation.config import Config


def write_report(run: RunDirectory) -> Path:
    """Write `report.html` from what the run directory holds by now, and return its path."""
    lead = "A recurrent network that reads one token at a time, learned to write from nothing but the text."
    drawn = run.figures / "loss_heatmap.png"
    if not drawn.exists():  # stopped within the first epoch
        return report.write_report(run, "Text generation", lead, [])
    unit = Config.from_settings(run.read_config().settings).loss_unit
    learning = [
        report.Picture(run.figures / "learning_curve.png", f"Loss by epoch, in {unit}"),
        report.Picture(run.figures / "training.gif", "The same prompt continued after every epoch"),
    ]
    alt = "A validation passage, each character shaded by its negative log-likelihood"
    sections = [
        report.section_on_evaluation(run),
        report.Section("Learning to write", pictures=learning, listings=read_samples(run, unit)),
        report.Section("Loss of each character", pictures=[report.Picture(drawn, alt)]),
    ]
    return report.write_report(run, "Text generation", lead, sections)
