"""Step 4, continued: warnings about the two failures of GAN training, and a chart of the metrics by epoch.

Two failures are common. The discriminator **dominates**: it classifies almost every image correctly, and the
generator gets little gradient. Or the generator **collapses** to a few modes: its images repeat each other. The
metrics of the training step show both, and a callback warns of them.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import keras
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from tqdm.auto import tqdm

from common.viz.figures import ACCENT, FAINT, SECOND, figure_style, save_figure

DOMINANCE_ACCURACY = 0.97
"""Above it, on real and on fake images, the discriminator dominates."""
COLLAPSE_DIVERSITY = 0.5
"""Below it, generated images repeat each other far more than real ones."""
WARM_UP_STEPS = 500
"""No warnings in the first steps, and at most one round of warnings in as many steps."""


def failure_warnings(metrics: Mapping[str, float]) -> list[str]:
    """Return one warning for each failure that an epoch's mean metrics show; a changed model may have others."""
    warnings = []
    if min(metrics.get("real_accuracy", 0), metrics.get("fake_accuracy", 0)) > DOMINANCE_ACCURACY:
        warnings.append(
            f"the discriminator dominates: its accuracy is {metrics['real_accuracy']:.0%} on real and "
            f"{metrics['fake_accuracy']:.0%} on fake images, so the generator gets little gradient; if this lasts, try "
            "a larger --r1-gamma, a lower --discriminator-learning-rate, or more data"
        )
    if metrics.get("diversity", 1) < COLLAPSE_DIVERSITY:
        warnings.append(
            f"mode collapse: the nearest neighbour of a generated image is {metrics['diversity']:.0%} as far away as "
            "that of a real one; if this lasts, try lower learning rates, or a larger --batch-size"
        )
    return warnings


class WarnOfFailures(keras.callbacks.Callback):
    """Print a warning after an epoch whose metrics show a failure, at most once in `WARM_UP_STEPS`."""

    _warned_at = 0  # the step of the last warning

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Print the warnings."""
        step = int(self.model.generator_optimizer.iterations.numpy())
        if step < self._warned_at + WARM_UP_STEPS:
            return
        for warning in failure_warnings(logs):
            self._warned_at = step
            tqdm.write(f"warning: {warning}")


@figure_style
def draw_training_curves(rows: Sequence[Mapping[str, float]], path: Path) -> None:
    """Draw the losses, the discriminator's accuracies and the diversity by epoch, from the rows of metrics.csv."""
    figure = Figure(figsize=(10, 3.4), dpi=110, layout="constrained")
    losses, accuracies, diversity = figure.subplots(1, 3)
    epochs = [row["epoch"] for row in rows]

    def plot(axes, title, *columns):
        for (name, label), colour in zip(columns, (ACCENT, SECOND), strict=False):
            values = [row.get(name, math.nan) for row in rows]
            axes.plot(epochs, values, "o-", markersize=3, color=colour, label=label)
        axes.set_title(title)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.set_ylim(bottom=0)
        axes.legend()

    plot(losses, "loss, nats", ("generator_loss", "generator"), ("discriminator_loss", "discriminator"))
    accuracies.axhline(DOMINANCE_ACCURACY, color=FAINT, linestyle=":", label="warning above")
    plot(accuracies, "discriminator accuracy", ("fake_accuracy", "fake images"), ("real_accuracy", "real images"))
    accuracies.set_ylim(0, 1.02)
    diversity.axhline(COLLAPSE_DIVERSITY, color=FAINT, linestyle=":", label="warning below")
    plot(diversity, "diversity", ("diversity", "generated / real"))
    save_figure(figure, path)
