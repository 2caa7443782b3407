"""Which layers of MobileNetV2 know where objects are, and not only what.

python -m benchmarks.where_layers_know --instances DIR/coco/annotations/instances_val2017.json --encoder-weights PATH

For each layer a linear classifier of single cells, "is there a person in it?", is fitted by ridge regression to the
boxes of some photos, and points at a person in others. A layer from which this fails, even with the boxes given, cannot
be expected to point when trained on captions alone. Attention over such a layer may help to say the right words; it
does not show where objects are.
"""

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
import tyro

from common.data.images import read_image
from common.errors import UserError
from examples.image_captioning.download.image_files import resize
from examples.image_captioning.metrics.pointing import BoxedPhoto, read_coco_boxes
from examples.image_captioning.preprocess.feature_extractor import load_extractor

LAYERS = ["block_6_expand_relu", "block_10_expand_relu", "block_13_expand_relu", "block_16_expand_relu", "out_relu"]
SIDES = [7, 14]  # every layer is averaged to a grid of so many by so many cells, if it has as many
FOLDS = 10


def inside(photo: BoxedPhoto, kind: str, side: int) -> np.ndarray:
    """Return for each cell of a grid whether its middle is in a box of that kind, bool [side * side]."""
    width, height = photo.size
    x, y = (np.arange(side) + 0.5) / side * width, (np.arange(side) + 0.5) / side * height
    found = np.zeros((side, side), bool)
    for left, top, right, bottom in photo.boxes[kind]:
        found |= ((y >= top) & (y <= bottom))[:, None] & ((x >= left) & (x <= right))[None]
    return found.reshape(-1)


def pointing(features: np.ndarray, labels: np.ndarray) -> float:
    """Return how often the cell that a classifier fitted to other photos likes best is labelled.

    Args:
        features: float [photos, cells, channels], scaled to length 1.
        labels: bool [photos, cells].
    """
    hits = 0
    for fold in range(FOLDS):
        held_out = np.arange(len(features)) % FOLDS == fold
        x = features[~held_out].reshape(-1, features.shape[-1])
        y = labels[~held_out].reshape(-1) - labels[~held_out].mean()
        weights = np.linalg.solve(x.T @ x + np.eye(x.shape[1]), x.T @ y)
        best = (features[held_out] @ weights).argmax(axis=1)
        hits += labels[held_out][np.arange(held_out.sum()), best].sum()
    return hits / len(features)


def main(instances: Path, encoder_weights: str, kind: str = "person") -> None:
    """Print a table.

    Args:
        instances: a file of COCO's instances, beside the folder of its photos.
        encoder_weights: of MobileNetV2, without its top.
        kind: the category to point at.
    """
    extractor = load_extractor("mobilenet_v2", encoder_weights)
    folder = instances.parent.parent / instances.stem.removeprefix("instances_")
    photos = [photo for photo in read_coco_boxes(instances) if kind in photo.boxes]
    pixels = []
    for photo in photos:
        try:
            pixels.append(resize(read_image(folder / photo.name), extractor.image_size))
        except UserError as error:
            raise SystemExit(f"error: {error}") from error
    network = keras.Model(extractor.base.input, [extractor.base.get_layer(name).output for name in LAYERS])
    outputs = network.predict(np.stack(pixels) / 127.5 - 1, batch_size=16, verbose=0)
    labels = {side: np.stack([inside(photo, kind, side) for photo in photos]) for side in SIDES}
    share, centre = labels[SIDES[-1]].mean(), np.mean([inside(photo, kind, 1) for photo in photos])
    print(f"{len(photos)} photos with a {kind}; cells in a box {share:.2f}, the photo's centre {centre:.2f}\n")
    print(f"| layer | {' | '.join(f'{side} x {side} cells' for side in SIDES)} |\n|---{'|---' * len(SIDES)}|")
    for name, output in zip(LAYERS, outputs, strict=True):
        hits = [f"{pointing(averaged(output, side), labels[side]):.2f}" for side in SIDES if side <= output.shape[1]]
        print(f"| {' | '.join([name, *hits, *[''] * (len(SIDES) - len(hits))])} |", flush=True)


def averaged(output: np.ndarray, side: int) -> np.ndarray:
    """Return a layer's output [photos, R, R, channels] on a grid, float64 [photos, side * side, channels], length 1."""
    pool = output.shape[1] // side
    grid = tf.nn.avg_pool2d(output, pool, pool, "VALID").numpy().reshape(len(output), side * side, -1)
    return (grid / (np.linalg.norm(grid, axis=-1, keepdims=True) + 1e-6)).astype("float64")


if __name__ == "__main__":
    tyro.cli(main)
