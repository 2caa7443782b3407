"""A training step of a character GRU of 1,024 units, 64 streams, 100 characters: here, in plain Keras, in PyTorch.

python -m benchmarks.character_gru
"""

import importlib.util
import statistics
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf
import tyro

from benchmarks.measure import Table, alternate, goal, peak_memory, product, ratio
from common.nn.adam import Adam
from common.training import trainer
from examples.text_generation.model import TrainableCharRNN

VOCABULARY, EMBEDDING, UNITS, STREAMS, WINDOW = 66, 256, 1024, 64, 100
HERE, KERAS, TORCH = "here, {}", "Keras `fit`, {}", "PyTorch, {}"
PRECISIONS = {"float32": tf.float32, "bfloat16": tf.bfloat16}


def some_characters(streams: int = STREAMS, window: int = WINDOW) -> np.ndarray:
    """Return int32 [B, T + 1], which characters does not matter."""
    return np.random.default_rng(0).integers(VOCABULARY, size=(streams, window + 1)).astype("int32")


def here(precision: str, ids: np.ndarray, units: int = UNITS) -> Callable[[], object]:
    """Return a training step of the example, its optimizer included."""
    trainer.set_seed_and_precision(1, precision)
    model = TrainableCharRNN(VOCABULARY, len(ids), 1, embedding_dim=EMBEDDING, units=units).build_weights()
    model.compile(Adam())
    model.optimizer.build(model.trainable_variables)
    step = tf.function(model.train_step)
    mask = np.ones(ids[:, 1:].shape, bool)
    batch = tuple(map(tf.constant, (ids[:, :-1], ids[:, 1:], mask, True)))
    return lambda: float(step(batch)["loss"])


def keras_model(precision: str, units: int) -> keras.Model:
    """Return the same network, written with Keras' own layers."""
    trainer.set_seed_and_precision(1, precision)
    layers = [keras.layers.Embedding(VOCABULARY, EMBEDDING), keras.layers.GRU(units, return_sequences=True)]
    return keras.Sequential([*layers, keras.layers.Dense(VOCABULARY, dtype="float32")])


def plain_keras(precision: str, ids: np.ndarray, units: int = UNITS) -> Callable[[], object]:
    """Return what `fit` runs for each batch of the same network, written with Keras' own layers."""
    model = keras_model(precision, units)
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return lambda: model.train_on_batch(ids[:, :-1], ids[:, 1:])


def pytorch(precision: str, ids: np.ndarray, units: int = UNITS) -> Callable[[], object]:
    """Return the same step in PyTorch, which need not be installed."""
    import torch

    inputs, targets = (torch.from_numpy(part.astype("int64")) for part in (ids[:, :-1], ids[:, 1:]))
    embedding, gru = torch.nn.Embedding(VOCABULARY, EMBEDDING), torch.nn.GRU(EMBEDDING, units, batch_first=True)
    output = torch.nn.Linear(units, VOCABULARY)
    weights = [weight for layer in (embedding, gru, output) for weight in layer.parameters()]
    optimizer = torch.optim.Adam(weights)

    def step() -> float:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            logits = output(gru(embedding(inputs))[0])
        loss = torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), targets.flatten())
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    return step


def ways(only: str | None = None) -> dict[str, Callable[[], object]]:
    """Return all ways that can be measured here, or just one."""
    makers = {KERAS: plain_keras, HERE: here} | ({TORCH: pytorch} if importlib.util.find_spec("torch") else {})
    named = {name.format(precision): (make, precision) for precision in PRECISIONS for name, make in makers.items()}
    ids = some_characters()
    return {name: make(precision, ids) for name, (make, precision) in named.items() if only in (None, name)}


def gigaflops(name: str) -> float:
    """Return the billions of operations in the products of a step, forward and twice as many backward."""
    projected = 0 if name.startswith("here") else EMBEDDING * 3 * UNITS  # here only the table's few rows
    return 3 * 2e-9 * STREAMS * WINDOW * (projected + UNITS * 3 * UNITS + UNITS * VOCABULARY)


def main(turns: int = 20) -> None:
    """Measure and save the table; `turns` for each way."""
    if not importlib.util.find_spec("torch"):
        print("PyTorch is not installed: left out")
    limits = {precision: product(dtype) for precision, dtype in PRECISIONS.items()}
    measured = ways()
    seconds = alternate(measured | {precision: limit for precision, (limit, _) in limits.items()}, turns)
    rows, times_keras, of_limit = [], {}, {}
    for name in measured:
        precision = name.split(", ")[1]
        times_keras[name] = ratio(seconds[name], seconds[KERAS.format("float32")])
        shares = [
            gigaflops(name) / mine / (limits[precision][1] / limit)
            for mine, limit in zip(seconds[name], seconds[precision], strict=True)
        ]
        of_limit[name] = statistics.median(shares)
        rows.append([
            name,
            f"{statistics.median(seconds[name]):.3f}",
            f"{STREAMS * WINDOW / statistics.median(seconds[name]):,.0f}",
            f"{times_keras[name]:.2f}",
            f"{of_limit[name]:.0%}",
            f"{peak_memory('benchmarks.character_gru', name):,.0f}",
        ])  # fmt: skip
    Table(
        f"Character GRU: {UNITS:,} units, {STREAMS} streams, {WINDOW} characters",
        f"Seconds of a training step with Adam, median of {turns} turns. Limit: the operations in the products of the "
        f"step ({gigaflops(KERAS):.0f} billion in Keras, {gigaflops('here'):.0f} here, where rows of a table are "
        "projected instead of characters), against a product of 6,400 x 1,024 by 1,024 x 3,072 of that precision in "
        f"the same turns ({', '.join(f'{p} {limits[p][1] / statistics.median(seconds[p]):,.0f}' for p in limits)} "
        "GFLOP/s). Memory: the whole process.",
        ["way", "seconds", "characters a second", "times Keras float32", "of the limit", "peak MiB"],
        rows,
        goals=[
            goal("character GRU, step in float32, times Keras", times_keras["here, float32"], least=2, form=".2f"),
            goal("the same in bfloat16, times Keras in float32", times_keras["here, bfloat16"], least=3, form=".2f"),
            goal("share of the float32 limit", of_limit["here, float32"], least=0.7, form=".0%"),
        ],
    ).save()


if __name__ == "__main__":
    tyro.cli(main)
