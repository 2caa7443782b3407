"""How the cost of a training step grows with batch, length and width, and that of preparing data with its size.

python -m benchmarks.scaling
"""

import statistics
import time
from collections.abc import Sequence

import matplotlib
import numpy as np
import tyro

from benchmarks.character_gru import EMBEDDING, VOCABULARY, here, plain_keras, some_characters
from benchmarks.measure import RESULTS, Table, alternate, ratio
from common.data.vocabulary import Vocabulary
from examples.text_generation.data import training_batches

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402  after the choice of its backend

STREAMS, WINDOW, UNITS = 64, 50, 512
VARIED = {"streams": (16, 64, 256), "window": (12, 50, 200), "units": (256, 512, 1024)}


def preparation_seconds(characters: int) -> float:
    """Return the seconds from a text of so many characters to its first batch."""
    text = "".join(np.random.default_rng(0).choice(list("abcdefgh \n"), size=characters))
    started = time.perf_counter()
    next(iter(training_batches(Vocabulary(sorted(set(text))).encode(text), STREAMS, WINDOW, seed=1, epoch=0)))
    return time.perf_counter() - started


def draw(axis: plt.Axes, sizes: Sequence[int], seconds: Sequence[float], label: str | None = None) -> None:
    """Draw a line over sizes, both axes logarithmic."""
    axis.plot(sizes, seconds, "o-", label=label)
    axis.set(xscale="log", yscale="log")
    axis.set_xticks(sizes, [f"{size:,}" for size in sizes], minor=False)
    axis.set_xticks([], minor=True)


def main(turns: int = 5) -> None:
    """Measure, draw `results/scaling.png` and save the table; `turns` for each point."""
    shapes = {
        (name, value): {"streams": STREAMS, "window": WINDOW, "units": UNITS} | {name: value}
        for name, values in VARIED.items()
        for value in values
    }
    ways = {
        (make, *shape.values()): make("float32", some_characters(shape["streams"], shape["window"]), shape["units"])
        for shape in shapes.values()
        for make in (plain_keras, here)
    }
    seconds = alternate(ways, turns)
    figure, axes = plt.subplots(1, 4, figsize=(16, 4), layout="constrained")
    rows = []
    for axis, (name, values) in zip(axes, VARIED.items(), strict=False):
        keras, ours = (
            [seconds[make, *shapes[name, value].values()] for value in values] for make in (plain_keras, here)
        )
        for label, points in (("Keras", keras), ("here", ours)):
            draw(axis, values, [statistics.median(point) for point in points], label)
        axis.set(xlabel=name, ylabel="seconds a step")
        axis.legend()
        for value, plain, fast in zip(values, keras, ours, strict=True):
            medians = (f"{statistics.median(times):.3f}" for times in (plain, fast))
            rows.append([name, f"{value:,}", *medians, f"{ratio(fast, plain):.2f}"])
    sizes = (10**5, 10**6, 10**7)
    preparation = [preparation_seconds(size) for size in sizes]
    rows += [
        ["characters of data", f"{size:,}", "", f"{taken:.3f}", ""]
        for size, taken in zip(sizes, preparation, strict=True)
    ]
    draw(axes[-1], sizes, preparation)
    axes[-1].set(xlabel="characters of data", ylabel="seconds to the first batch")
    RESULTS.mkdir(exist_ok=True)
    figure.savefig(RESULTS / "scaling.png", dpi=80)
    Table(
        "Scaling",
        f"Seconds of a training step in float32, one size varied at a time from {STREAMS} streams, {WINDOW} characters "
        f"and {UNITS} units (embedding {EMBEDDING}, {VOCABULARY} symbols), medians of {turns} turns; and, measured "
        "once, the seconds from a text in memory to its first batch.",
        ["varied", "to", "Keras", "here", "times Keras"],
        rows,
        figure="results/scaling.png",
    ).save()


if __name__ == "__main__":
    tyro.cli(main)
