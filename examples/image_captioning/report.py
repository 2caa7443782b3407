"""The report of a captioning run: what it learned, in pictures, captions and numbers, on one page."""

from pathlib import Path

from common.app import report
from common.training.run_directory import RunDirectory
from examples.image_captioning.pictures import read_samples


def write_report(run: RunDirectory) -> Path:
    """Write `report.html` from what the run directory holds by now, and return its path."""
    lead = "A network that describes photos in a sentence, and looks at them anew for every word."
    sheets = sorted(run.figures.glob("caption_*.png"))
    if not sheets:  # stopped within the first epoch
        return report.write_report(run, "Image captioning", lead, [])
    learning = [
        report.Picture(run.figures / "learning_curve.png", "Loss by epoch, in nats per word"),
        report.Picture(run.figures / "training.gif", "The same photo described after every epoch, with attention"),
    ]
    looks = [
        report.Picture(sheet, "A photo, and where the model looked for each word of its caption") for sheet in sheets
    ]
    note = (
        "Each photo as it is, then once for each word, lit where the model looked. The number beside a word is the "
        "peak of the attention in multiples of looking everywhere alike."
    )
    sections = [
        report.section_on_evaluation(run),
        report.Section("Where it looks", note, pictures=looks),
        report.Section("Learning to describe", pictures=learning, listings=read_samples(run)),
    ]
    return report.write_report(run, "Image captioning", lead, sections)
