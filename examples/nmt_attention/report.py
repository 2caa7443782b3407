"""The report of a translation run: what it learned, in pictures, samples and numbers, on one page."""

from pathlib import Path

from common.app import report
from common.training.run_directory import RunDirectory, read_listing
from examples.nmt_attention.attention_plots import read_samples


def write_report(run: RunDirectory) -> Path:
    """Write `report.html` from what the run directory holds by now, and return its path."""
    lead = "An encoder, a decoder, and attention between them, learned to translate from nothing but sentence pairs."
    gif = run.figures / "training.gif"
    if not gif.exists():  # stopped within the first epoch
        return report.write_report(run, "Translation", lead, [])
    learning = [
        report.Picture(run.figures / "learning_curve.png", "Loss by epoch, in nats per token"),
        report.Picture(gif, "Attention weights of the same translation, after every epoch"),
    ]
    maps = [
        report.Picture(
            path, "Each row a word of the translation, each column a word of the source; dark is a great weight"
        )
        for path in sorted(run.figures.glob("attention_*.png"))
    ]
    evaluated = run.read_evaluation()
    examples = run.samples / f"{evaluated.split}.txt" if evaluated else None
    sections = [
        report.section_on_evaluation(run),
        report.Section(
            "Beside the reference",
            listings=[("Ten held-out sentences, from the shortest to the longest", read_listing(examples))],
        )
        if examples
        else None,
        report.Section("Learning to translate", pictures=learning, listings=read_samples(run)),
        report.Section("Attention", pictures=maps),
    ]
    return report.write_report(run, "Translation", lead, sections)
