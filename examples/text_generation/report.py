"""The report of a text generation run: what it learned, in pictures, samples and numbers, on one page."""

from pathlib import Path

from common import report
from common.run import Run


def write_report(run: Run) -> Path:
    """Write `report.html` from what the run directory holds by now, and return its path."""
    rows = run.read_metrics()
    samples = [
        (f"after epoch {int(row['epoch'])}: {row['val_loss']:.3f} nats per character", path.read_text(encoding="utf-8"))
        for row in rows
        if (path := run.samples / f"epoch_{int(row['epoch']):04d}.txt").exists()
    ]
    pictures = {
        "learning_curve.png": "Loss against epoch, in nats per character, for training and validation text",
        "training.gif": "The same prompt continued after every epoch",
        "surprise.png": "A held-out passage, each character shaded by how surprised the model was to see it",
    }
    shown = {
        name: report.Picture(run.figures / name, alt) for name, alt in pictures.items() if (run.figures / name).exists()
    }
    sections = [
        report.section_on_evaluation(run),
        report.Section("Learning to write", pictures=[shown[name] for name in shown if name != "surprise.png"]),
        report.Section(
            "Where it knows and where it doesn't", pictures=[shown[name] for name in shown if name == "surprise.png"]
        ),
        report.Section("The same prompt after every epoch", listings=samples),
        report.section_on_run(run),
    ]
    data = run.read_config()["settings"]["data"]
    lead = "A recurrent network that reads one character at a time, learned to write from nothing but the text."
    return report.write_page(run.report, f"Text generation: {Path(data).name}", lead, [s for s in sections if s])
