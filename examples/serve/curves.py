"""Learning curves of several runs side by side, and what differs between their settings."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from common.errors import UserError
from common.viz import figures
from examples.serve.registry import ServedRun

_METRICS = ("val_loss", "loss", "diversity")  # the first that a run has is drawn; a GAN's losses say little


def draw_curves(runs: Sequence[ServedRun]) -> tuple[Image.Image, str] | None:
    """Return a figure with a metric of each run after each epoch and the metric's name, None if no run has one."""
    curves: dict[str, list[tuple[float, float]]] = {}
    columns = set()
    for run in runs:
        try:
            rows = run.directory.read_metrics()
        except UserError:
            continue
        if column := next((name for name in _METRICS if rows and name in rows[0]), None):
            curves[run.name] = [(row["epoch"], row[column]) for row in rows]
            columns.add(column)
    unit = " or ".join(sorted(columns))
    return (figures.compare_curves(curves, unit), unit) if curves else None


def setting_differences(runs: Sequence[ServedRun]) -> tuple[list[str], list[list[str]]]:
    """Return the names of the settings that differ between runs, and for each run its name and its values."""
    settings = [_shown_settings(run) for run in runs]
    names = sorted({name for each in settings for name in each})
    different = [name for name in names if len({str(each.get(name)) for each in settings}) > 1]
    return different, [
        [run.name, *(str(each.get(name, "")) for name in different)] for run, each in zip(runs, settings, strict=True)
    ]


def _shown_settings(run: ServedRun) -> dict[str, Any]:
    """Return the settings of a run; of a path, its last part, because a page names no folder of the machine."""
    settings = run.directory.read_config().settings
    return {name: Path(value).name if isinstance(value, str) else value for name, value in settings.items()}
