"""The report of a DCGAN run on one page: samples, metrics, and training curves."""

from pathlib import Path

from common.app import report
from common.training.run_directory import RunDirectory


def write_report(run: RunDirectory) -> Path:
    """Write `report.html` from the files of the run directory and return its path."""
    generated = {
        "samples.png": "Sixty-four images of the trained generator",
        "training.gif": "Images of the same sixteen latents after every epoch",
    }
    compared = {
        "classes.png": "Frequency of each class among generated and real images",
        "nearest.png": "Generated images above the training images nearest to them: are they copies?",
    }
    curves = {"learning_curve.png": "Losses, accuracy of the discriminator, and diversity, by epoch"}
    sections = [
        report.Section("Generated images", pictures=report.figures(run, generated)),
        report.section_on_evaluation(run),
        report.Section("Compared with real images", pictures=report.figures(run, compared)),
        report.Section("Training", pictures=report.figures(run, curves)),
    ]
    lead = "Two networks trained against each other: one generates images, the other separates them from real ones."
    return report.write_report(run, "DCGAN", lead, sections)
