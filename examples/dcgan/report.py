"""The report of a DCGAN run: what it makes, how it learned to, and how good that is, on one page."""

from pathlib import Path

from common.app import report
from common.training.run_directory import Run

_PICTURES = {
    "samples.png": "Sixty-four images that the trained generator makes of noise",
    "training.gif": "The same sixteen noise vectors after every epoch",
    "classes.png": "How often each class comes among made and real images",
    "nearest.png": "Made images above the training images nearest to them: are they copies?",
    "learning_curve.png": "Losses, how often the discriminator is right, and diversity, by epoch",
}


def write_report(run: Run) -> Path:
    """Write `report.html` from what the run directory holds by now, and return its path."""

    def pictures(*names: str) -> list[report.Picture]:
        return [report.Picture(run.figures / name, _PICTURES[name]) for name in names if (run.figures / name).exists()]

    sections = [
        report.Section("What it makes of noise", pictures=pictures("samples.png", "training.gif")),
        report.section_on_evaluation(run),
        report.Section("Compared with real images", pictures=pictures("classes.png", "nearest.png")),
        report.Section("How it went", pictures=pictures("learning_curve.png")),
    ]
    lead = "Two networks played against each other: one makes images of noise, the other tells them from real ones."
    return report.write_report(run, "DCGAN", lead, sections)
