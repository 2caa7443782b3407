"""Held-out loss against minutes of training: each example, and the notebook or tutorial that it succeeds.

python -m benchmarks.learning_curves EXAMPLE --minutes 5 --data-dir DIR

Both train in one process and take turns, so that other work on the machine slows them alike. The clock of each
counts its training steps, without the first ten, which compile, and without the preparation of batches. Each has the
settings that it publishes: here those of `quick`, planned for as many steps as fit.
"""

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Literal

import tyro
from matplotlib.figure import Figure

from benchmarks.__main__ import write_page
from benchmarks.learners import Learner, dcgan, image_captioning, nmt_attention, text_generation
from benchmarks.measure import RESULTS, Table
from common.viz.figures import ACCENT, FAINT, figure_style, save_figure

TIMED = range(10, 40)
"""Steps that are timed to plan."""


def train_in_turns(learners: dict[str, Learner], minutes: float, turns: int) -> dict[str, list[tuple[float, float]]]:
    """Train all learners for so many minutes each, in turns; return (minutes, measure) of each after every turn."""
    clocks = {name: training(learner, 60 * minutes, turns) for name, learner in learners.items()}
    curves: dict[str, list[tuple[float, float]]] = {name: [] for name in learners}
    for _ in range(turns):
        for name, learner in learners.items():
            seconds = next(clocks[name])
            curves[name].append((seconds / 60, learner.measure()))
            print(f"{name}: {curves[name][-1][0]:.1f} min {curves[name][-1][1]:.4f}", flush=True)
    return curves


def training(learner: Learner, budget: float, turns: int) -> Iterator[float]:
    """Train for `budget` seconds; after each of the turns, yield the seconds so far."""
    seconds, steps, epoch, turn = 0.0, 0, 0, 1
    timed = 0.0
    while True:
        for batch in learner.batches(epoch):
            started = time.perf_counter()
            learner.step(batch)
            elapsed = time.perf_counter() - started
            seconds, steps = seconds + elapsed * (steps >= TIMED.start), steps + 1  # the first steps compile
            timed += elapsed * (steps - 1 in TIMED)
            if steps == TIMED.stop and learner.schedule:
                learner.schedule.total_steps.assign(int(budget / timed * len(TIMED)))
            if seconds >= budget * turn / turns:
                turn += 1
                yield seconds
        epoch += 1


UNITS = {
    "text_generation": "nats per character of the validation text",
    "dcgan": "Frechet distance to MNIST's test images",
    "nmt_attention": "nats per token of the validation sentences",
    "image_captioning": "nats per word of Flickr8k's dev captions",
}


@figure_style
def draw(curves: dict[str, list[tuple[float, float]]], unit: str, path: Path) -> None:
    """Draw the curves, each with its name and last value at its end."""
    figure = Figure(figsize=(7, 3.6), dpi=110, layout="constrained")
    axes = figure.subplots()
    for (name, points), colour in zip(curves.items(), (ACCENT, FAINT), strict=True):
        minutes, values = zip(*points, strict=True)
        axes.plot(minutes, values, "o-", markersize=3, color=colour)
        axes.annotate(
            f"{name}: {values[-1]:.3g}" if values[-1] >= 10 else f"{name}: {values[-1]:.3f}",
            points[-1], xytext=(6, 0), textcoords="offset points", va="center", color=colour,
        )  # fmt: skip
    if max(value for points in curves.values() for _, value in points) > 100:
        axes.set_yscale("log")
    axes.set_xlim(0, 1.3 * max(minutes))
    axes.set_xlabel("minutes of training")
    axes.set_ylabel(unit)
    save_figure(figure, path)


def main(
    example: tyro.conf.Positional[Literal["text_generation", "dcgan", "nmt_attention", "image_captioning"]],
    minutes: float = 5.0,
    turns: int = 10,
    data_dir: Path | None = None,
    features_dir: Path | None = None,
    encoder_weights: str = "imagenet",
) -> None:
    """Train, print and save the table, draw the curves, and write RESULTS.md.

    Args:
        example: which.
        minutes: of training, for each of the two.
        turns: in which they take turns; they are measured after each.
        data_dir: the download cache.
        features_dir: of the features of photos.
        encoder_weights: as of image_captioning's `train`.
    """
    learners = {
        "text_generation": text_generation,
        "dcgan": dcgan,
        "nmt_attention": nmt_attention,
        "image_captioning": partial(image_captioning, features_dir=features_dir, encoder_weights=encoder_weights),
    }[example](data_dir)
    curves = train_in_turns(learners, minutes, turns)
    part = f"learning_curves_{example}"
    draw(curves, UNITS[example], RESULTS / f"{part}.png")
    rows = [
        [f"{here_minutes:.1f}", *(f"{value:.4g}" for _, value in points)]
        for (here_minutes, _), points in ((points[0], points) for points in zip(*curves.values(), strict=True))
    ]
    Table(
        f"Learning curves: {example}",
        f"{UNITS[example][0].upper()}{UNITS[example][1:]} after so many minutes of training of each, in turns; "
        "here in the precision of --precision auto, the other in float32. The clock of each counts its training steps, "
        "without the first ten, which compile, and without the preparation of batches.",
        ["minutes", *curves],
        rows,
        figure=f"results/{part}.png",
    ).save(part)
    write_page()


if __name__ == "__main__":
    tyro.cli(main)
