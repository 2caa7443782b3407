# %% [markdown]
# ## Step 5: measure

# %%
"""Step 5, continued: how close the made images come to real ones, in numbers and in pictures."""

import time
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from common.data.images import grid, save_image
from common.errors import UserError
from common.training.run_directory import Run
from common.viz.figures import ACCENT, FAINT, save_figure, titled

# %% tags=["module"]
from examples.dcgan.classifier import Eyes, trained_eyes
from examples.dcgan.config import Config
from examples.dcgan.data import ImageSet, load_images
from examples.dcgan.demo import ImageGenerator
from examples.dcgan.fidelity import (
    class_shares,
    classes_covered,
    classifier_score,
    frechet_distance,
    nearest,
)

# %%
MOST_SAMPLES = 10_000
NEIGHBOURS = 1000  # images whose nearest neighbours are looked for
SEED = 7  # of the noise that is measured: not the one of the sheets that people look at


def evaluate(
    run: Run,
    samples: int | None = None,
    data: str | None = None,
    data_dir: Path | None = None,
    write: bool = True,
) -> dict[str, Any]:
    """Measure the trained generator and return the metrics.

    Args:
        run: a trained run.
        samples: images to make; None for as many as are held out, at most 10,000.
        data: what images it was trained on; None to take that from the run, see `Run.data_to_use`.
        data_dir: the download cache; None for the default one.
        write: write `evaluation.json` and the pictures.

    Raises:
        UserError: no checkpoint, or the data is not what the model was trained on.
    """
    started = time.monotonic()
    trained = run.read_config()
    config = Config.from_settings(trained.settings)
    data = run.data_to_use(data, Config.DATA_SETS)
    images = load_images(data, config.image_size, config.channels, data_dir)
    if images.fingerprint != trained.data:
        raise UserError(f"{data}: not the images that {run.path} was trained on; name those with --data")
    has_classes = images.train_labels is not None and images.held_out_labels is not None
    real = images.train if images.held_out is None else images.held_out
    made = ImageGenerator.load(run).draw(samples or min(len(real), MOST_SAMPLES), SEED)

    nearest_path, classes_path = (run.figures / name if write else None for name in ("nearest.png", "classes.png"))
    metrics, rule = measure_neighbours(made, images, nearest_path)
    if has_classes:
        seen, how_seen = measure_classes(made, images, trained_eyes(images), classes_path)
        metrics, rule = seen | metrics, f"{how_seen}; {rule}"
    else:
        rule = (
            "without labels and held-out images there is no classifier of this data to see with, so no Frechet "
            f"distance, no score and no classes (features of another network would measure another thing); left: {rule}"
        )
    split = "held-out" if images.held_out is not None else "training"
    if write:
        run.write_evaluation(split, rule, time.monotonic() - started, metrics)
    return metrics


# %% [markdown]
# ### With a classifier's eyes


# %%
def measure_classes(made: np.ndarray, images: ImageSet, eyes: Eyes, path: Path | None) -> tuple[dict[str, Any], str]:
    """Compare made with held-out images as the classifier sees them; draw the shares of the classes to `path`.

    Args:
        made: uint8 [N, H, W, C].
        images: with labels and held-out images.
        eyes: their classifier.
        path: PNG to write, if any.

    Returns:
        The metrics, and the rule by which they were measured.
    """
    count = min(len(made), len(images.held_out), len(images.train))
    others = np.random.default_rng(SEED).permutation(len(images.train))[:count]  # real images for the floor
    features, probabilities = eyes.look(made[:count])
    real_features, real_probabilities = eyes.look(images.held_out[:count])
    floor_features, _ = eyes.look(images.train[others])
    classes = probabilities.shape[1]
    shares = class_shares(probabilities.argmax(axis=1), classes)
    real_shares = class_shares(images.held_out_labels[:count], classes)
    if path:
        draw_shares(shares, real_shares, path)
    metrics = {
        "frechet_distance": frechet_distance(features, real_features),
        "frechet_floor": frechet_distance(floor_features, real_features),
        "classifier_score": classifier_score(probabilities),
        "classifier_score_of_real": classifier_score(real_probabilities),
        "classes_covered": classes_covered(shares, real_shares),
        "class_shares": {str(label): float(share) for label, share in enumerate(shares)},
    }
    rule = (
        f"{count:,} made against {count:,} held-out images, seen by a classifier of this data (right on "
        f"{eyes.accuracy:.2%} of held-out images; weights sha256 {eyes.sha256[:12]}): squared Frechet distance of its "
        f"128 features; floor: the same of {count:,} training images; a class is covered if it comes at least a tenth "
        "as often as in real images"
    )
    return metrics, rule


def draw_shares(made: np.ndarray, real: np.ndarray, path: Path) -> None:
    """Draw the share of each class among made and real images, both float [K], as bars."""
    figure = Figure(figsize=(7, 3.2), dpi=110, layout="constrained")
    axes = figure.subplots()
    labels = np.arange(len(made))
    axes.bar(labels - 0.2, 100 * made, 0.4, color=ACCENT, label="made")
    axes.bar(labels + 0.2, 100 * real, 0.4, color=FAINT, label="real")
    axes.set_xticks(labels, map(str, labels))
    axes.set_xlabel("class")
    axes.set_ylabel("% of the images")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, ncols=2, loc="upper center", bbox_to_anchor=(0.5, 1.16))
    save_figure(figure, path)


# %% [markdown]
# ### With no eyes but pixels: twins and copies
#
# Two questions need no labels. Do the made images repeat each other? And do they repeat the training data? For both,
# look for each image's nearest neighbour, and compare with what is usual among real images.


# %%
def measure_neighbours(made: np.ndarray, images: ImageSet, path: Path | None) -> tuple[dict[str, Any], str]:
    """Look for twins among made images and for copies of training images; draw pairs, the likest first, to `path`.

    Args:
        made: uint8 [N, H, W, C].
        images: what the model was trained on.
        path: PNG to write, if any.

    Returns:
        The metrics, and the rule by which they were measured.
    """
    real = images.train if images.held_out is None else images.held_out
    count = min(len(made), len(real), NEIGHBOURS)
    made, real = made[:count], real[:count]
    to_twin, _ = nearest(made, made, skip_itself=True)
    real_to_twin, _ = nearest(real, real, skip_itself=True)
    to_training, which = nearest(made, images.train)
    real_to_training, _ = nearest(real, images.train, skip_itself=images.held_out is None)
    shown = np.argsort(to_training)[np.linspace(0, count - 1, 12).astype(int)]
    if path:
        draw_neighbours(made[shown], images.train[which[shown]], path)
    metrics = {
        "diversity": ratio(to_twin, real_to_twin),
        "novelty": ratio(to_training, real_to_training),
    }
    whose = "training images (itself left out)" if images.held_out is None else "held-out images"
    rule = (
        f"mean distance in pixels to the nearest of the others (diversity) and to the nearest training image (novelty: "
        f"copies are at 0) of {count:,} made images, over the same for as many {whose}; 1 is as among real images"
    )
    return metrics, rule


def ratio(distances: np.ndarray, usual: np.ndarray) -> float:
    """Return the mean of the first over the mean of the second; 1 if both are nothing but zeros."""
    return float(distances.mean() / usual.mean()) if usual.mean() else float(distances.mean() == 0)


def draw_neighbours(made: np.ndarray, nearest_training: np.ndarray, path: Path) -> None:
    """Draw made images, uint8 [N, H, W, C], in one row, and under each the training image nearest to it."""
    pairs = grid(np.concatenate([made, nearest_training]), len(made), scale=max(1, 56 // made.shape[1]))
    title = "made (above), the nearest training image (below)"
    save_image(titled(pairs.convert("RGB"), title), path)
