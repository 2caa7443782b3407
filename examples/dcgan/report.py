"""The report of a DCGAN run on one page: samples, metrics, and training curves."""

from pathlib import Path

from common.app import report
from common.training.run_directory import RunDirectory

_PICTURES = {
    "samples.png": "Sixty-four images of the trained generator",
    "training.gif": "Images of the same sixteen latents after every epoch",
    "classes.png": "Frequency of each class among generated and real images",
    "nearest.png": "Generated images above the training images nearest to them: are they copies?",
    "learning_curve.png": "Losses, accuracy of the discriminator, and diversity, by epoch",
}


def write_report(run: RunDirectory) -> Path:
    """Write `report.html` from the files of the run directory and return its path."""

    def pictures(*names: str) -> list[report.Picture]:
        return [report.Picture(run.figures / name, _PICTURES[name]) for name in names if (run.figures / name).exists()]

    sections = [
        report.Section("Generated images", pictures=pictures("samples.png", "training.gif")),
        report.section_on_evaluation(run),
        report.Section("Compared with real images", pictures=pictures("classes.png", "nearest.png")),
        report.Section("Training", pictures=pictures("learning_curve.png")),
    ]
    lead = "Two networks trained against each other: one generates images, the other separates them from real ones."
    return report.write_report(run, "DCGAN", lead, sections)
