# %% [markdown]
# ### Is it going well?
#
# Two things go wrong with GANs. The discriminator **wins**: it is right about everything, and what the generator hears
# is always "no". Or the generator **collapses**: it finds a few images that pass, and makes nothing else. Both can be
# seen in figures that cost nothing, so training says so in plain words.

# %%
"""Step 4, continued: who is winning, what to do about it, and a picture of both figures by epoch."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import keras
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from tqdm.auto import tqdm

from common.viz.figures import ACCENT, FAINT, SECOND, save_figure

# %%
WINNING = 0.97  # right on so many real and so many made images: then its verdict teaches little
FIRST_STEPS = 500
COLLAPSED = 0.5  # diversity below it: the made images repeat each other, by far more than the real ones do


def warnings_about(figures: Mapping[str, float]) -> list[str]:
    """Return what is wrong, if anything, judging by an epoch's means of what `train_step` returns."""
    warnings = []
    if min(figures["right_on_real"], figures["right_on_made"]) > WINNING:
        warnings.append(
            f"the discriminator is winning: right on {figures['right_on_real']:.0%} of real and "
            f"{figures['right_on_made']:.0%} of made images, so the generator hears little else than no; if it stays "
            "so, try a lower --discriminator-learning-rate, --real-target 0.9, or more data"
        )
    if figures["diversity"] < COLLAPSED:
        warnings.append(
            f"the images repeat each other: an image's nearest neighbour is {figures['diversity']:.0%} as far away as "
            "among real ones (mode collapse); if it stays so, try lower learning rates, or a larger --batch-size"
        )
    return warnings


class WatchBalance(keras.callbacks.Callback):
    """Says after every epoch what is wrong, if anything; not in the first steps, in which all is still in motion."""

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Print the warnings."""
        for warning in warnings_about(logs) if int(self.model.steps) >= FIRST_STEPS else []:
            tqdm.write(f"warning: {warning}")


def draw_balance(rows: Sequence[Mapping[str, float]], path: Path) -> None:
    """Draw losses, verdicts and diversity against the epoch, from the rows of metrics.csv."""
    figure = Figure(figsize=(10, 3.4), dpi=110, layout="constrained")
    losses, verdicts, variety = figure.subplots(1, 3)
    epochs = [row["epoch"] for row in rows]

    def plot(axes, title, *columns):
        for (name, label), colour in zip(columns, (ACCENT, SECOND), strict=False):
            axes.plot(epochs, [row[name] for row in rows], "o-", markersize=3, color=colour, label=label)
        axes.set_title(title)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_ylim(bottom=0)
        axes.legend(frameon=False)

    plot(losses, "losses, nats", ("generator_loss", "generator"), ("discriminator_loss", "discriminator"))
    plot(verdicts, "the discriminator is right", ("right_on_made", "on made images"), ("right_on_real", "on real ones"))
    verdicts.set_ylim(0, 1.02)
    verdicts.axhline(WINNING, color=FAINT, linestyle=":")
    plot(variety, "diversity", ("diversity", "made / real"))
    variety.axhline(COLLAPSED, color=FAINT, linestyle=":")
    save_figure(figure, path)
