"""How the cost of a training step grows with batch, length and width, and that of preparing data with its size.

python -m benchmarks.scaling
"""

import statistics
import time

import matplotlib
import numpy as np
import tyro

from benchmarks.character_gru import EMBEDDING, VOCABULARY, here, plain_keras, some_characters
from benchmarks.measure import RESULTS, Table, alternate
from common.text import Vocabulary
from examples.text_generation.data import training_batches

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402  after the choice of its backend

STREAMS, WINDOW, UNITS = 64, 50, 512
VARIED = {"streams": (16, 64, 256), "window": (12, 50, 200), "units": (256, 512, 1024)}


def step_seconds(streams: int, window: int, units: int, turns: int) -> tuple[float, float]:
    """Return the median seconds of a step in float32, in plain Keras and here."""
    ids = some_characters(streams, window)
    seconds = alternate({make.__name__: make("float32", ids, units) for make in (plain_keras, here)}, turns)
    return tuple(statistics.median(times) for times in seconds.values())


def preparation_seconds(characters: int) -> float:
    """Return the seconds from a text of so many characters to its first batch."""
    text = "".join(np.random.default_rng(0).choice(list("abcdefgh \n"), size=characters))
    started = time.perf_counter()
    next(iter(training_batches(Vocabulary(sorted(set(text))).encode(text), STREAMS, WINDOW, seed=1, epoch=0)))
    return time.perf_counter() - started


def main(turns: int = 5) -> None:
    """Measure, draw `results/scaling.png` and save the table; `turns` for each point."""
    figure, axes = plt.subplots(1, 4, figsize=(16, 4), layout="constrained")
    rows = []
    for axis, (name, values) in zip(axes, VARIED.items(), strict=False):
        points = []
        for value in values:
            shape = {"streams": STREAMS, "window": WINDOW, "units": UNITS} | {name: value}
            points.append(step_seconds(**shape, turns=turns))
            keras, ours = points[-1]
            rows.append([name, f"{value:,}", f"{keras:.3f}", f"{ours:.3f}", f"{keras / ours:.2f}"])
        for label, seconds in zip(("Keras", "here"), zip(*points, strict=True), strict=True):
            axis.plot(values, seconds, "o-", label=label)
        axis.set(xscale="log", yscale="log", xlabel=name, ylabel="seconds a step")
        axis.legend()
    sizes = (10**5, 10**6, 10**7)
    seconds = [preparation_seconds(size) for size in sizes]
    rows += [
        ["characters of data", f"{size:,}", "", f"{taken:.3f}", ""] for size, taken in zip(sizes, seconds, strict=True)
    ]
    axes[-1].plot(sizes, seconds, "o-")
    axes[-1].set(xscale="log", yscale="log", xlabel="characters of data", ylabel="seconds to the first batch")
    RESULTS.mkdir(exist_ok=True)
    figure.savefig(RESULTS / "scaling.png", dpi=80)
    Table(
        "Scaling",
        f"Seconds of a training step in float32, one size varied at a time from {STREAMS} streams, {WINDOW} characters "
        f"and {UNITS} units (embedding {EMBEDDING}, {VOCABULARY} symbols), medians of {turns} turns; and seconds from "
        "a text in memory to its first batch.",
        ["varied", "to", "Keras", "here", "times Keras"],
        rows,
        figure="results/scaling.png",
    ).save()


if __name__ == "__main__":
    tyro.cli(main)
