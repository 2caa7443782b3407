"""Step 5, continued: compare generated with real images, in metrics and in figures."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from common.data.images import grid, save_image
from common.errors import UserError
from common.training.run_directory import RunDirectory
from common.viz.figures import ACCENT, FAINT, figure_style, save_figure, titled
from examples.dcgan.config import Config, EvaluateOptions, format_size
from examples.dcgan.data import ImageSet, load_images
from examples.dcgan.demo import ImageGenerator
from examples.dcgan.metrics.classifier import FeatureClassifier, load_or_train_classifier
from examples.dcgan.metrics.sample_metrics import classes_covered, frechet_distance, inception_score, nearest_neighbours
from examples.dcgan.model import DCGAN

MAX_SAMPLES = 10_000
_BLOCK_BYTES = 1 << 28
MAX_NEIGHBOUR_SAMPLES = 1000
"""Images whose nearest neighbours are searched."""
EVALUATION_SEED = 7
"""Of the measured latents; differs from the seeds of the published pictures."""


def evaluate(options: EvaluateOptions, model_class: type[DCGAN] = DCGAN) -> dict[str, Any]:
    """Measure the trained generator of a run, draw figures, and return the metrics.

    Raises:
        UserError: there is no checkpoint, or the data is not that of the training.
    """
    started = time.monotonic()
    run = RunDirectory.open(options.run, Config.EXAMPLE)
    config = Config.from_settings(run.read_config().settings)
    data = run.data_to_use(options.data, Config.DATA_SETS)
    images = load_images(data, config.image_size, config.channels, options.data_dir, config.max_skipped)
    run.require_training_data(images.fingerprint, data)
    has_classes = images.train_labels is not None and images.held_out_labels is not None
    classifier = load_or_train_classifier(images) if has_classes else None
    if options.test_data is not None:
        images = with_test_images(images, options, options.for_test_data(config).max_skipped)
    real = images.train if images.held_out is None else images.held_out
    if len(real) < 2:
        raise UserError(f"{run.path}: trained on a single picture; name others with --test-data, to compare with them")
    samples = options.samples or min(len(real), MAX_SAMPLES)
    generated = ImageGenerator.load(run, model_class).sample(samples, EVALUATION_SEED)

    prefix = "" if options.test_data is None else "test_data_"
    nearest_path, classes_path = (
        run.figures / f"{prefix}{name}" if options.write else None for name in ("nearest.png", "classes.png")
    )
    metrics, rule = measure_neighbours(generated, images, nearest_path)
    if classifier is not None:
        class_metrics, class_rule = measure_classes(generated, images, classifier, classes_path)
        metrics, rule = class_metrics | metrics, f"{class_rule}; {rule}"
    else:
        rule = (
            "no labels or no held-out images, so no classifier of this data, and Frechet distance, Inception score "
            f"and classes are left out; {rule}"
        )
    split = "held-out" if images.held_out is not None else "training"
    if options.write:
        run.write_evaluation(split, rule, time.monotonic() - started, metrics, options.test_data)
    return metrics


def with_test_images(images: ImageSet, options: EvaluateOptions, max_skipped: float) -> ImageSet:
    """Return `images` with those of `--test-data`, at the same size, in place of the held-out ones.

    Of a data set that holds out images itself, only those are taken.

    Raises:
        UserError: as `load_images`; or there is a single image.
    """
    _, *size, channels = images.train.shape
    test = load_images(options.test_data, format_size(*size), channels, options.data_dir, max_skipped)
    held_out, labels = (
        (test.train, test.train_labels) if test.held_out is None else (test.held_out, test.held_out_labels)
    )
    if len(held_out) < 2:
        raise UserError(f"--test-data {options.test_data}: a single picture; add others, to compare at least two")
    return replace(images, held_out=held_out, held_out_labels=labels)


def random_order(images: np.ndarray) -> np.ndarray:
    """Return a fixed random order of the images, int64 [N]: in a folder, those of a class stand side by side."""
    return np.random.default_rng(EVALUATION_SEED).permutation(len(images))


# Metrics that need a classifier
def measure_classes(
    generated: np.ndarray, images: ImageSet, classifier: FeatureClassifier, path: Path | None
) -> tuple[dict[str, Any], str]:
    """Compare features and classes of generated and held-out images; draw the class frequencies to `path`.

    Args:
        generated: uint8 [N, H, W, C].
        images: with labels and held-out images; if these have no labels, or labels that the classifier does not know,
            the classifier's are taken.
        classifier: of these images.
        path: PNG to write, if any.

    Returns:
        The metrics, and the rule by which they were measured.
    """
    count = min(len(generated), len(images.held_out), len(images.train))  # the floor needs as many training images
    real_rows, floor_rows = (random_order(each)[:count] for each in (images.held_out, images.train))
    features, probabilities = classifier.features(generated[:count])
    real_features, real_probabilities = classifier.features(images.held_out[real_rows])
    floor_features, _ = classifier.features(images.train[floor_rows])
    classes = probabilities.shape[1]
    frequencies = np.bincount(probabilities.argmax(axis=1), minlength=classes) / count  # K
    labels = images.held_out_labels
    is_unknown = labels is None or labels.max() >= classes
    real_labels = real_probabilities.argmax(axis=1) if is_unknown else labels[real_rows]
    real_frequencies = np.bincount(real_labels, minlength=classes) / count  # K
    if path:
        draw_class_frequencies(frequencies, real_frequencies, path)
    metrics = {
        "frechet_distance": frechet_distance(features, real_features),
        "frechet_floor": frechet_distance(floor_features, real_features),
        "inception_score": inception_score(probabilities),
        "inception_score_of_real": inception_score(real_probabilities),
        "classes_covered": classes_covered(frequencies, real_frequencies),
        "class_frequencies": {str(label): float(frequency) for label, frequency in enumerate(frequencies)},
    }
    rule = (
        f"{count:,} generated against {count:,} held-out images; classifier of this data with an accuracy of "
        f"{classifier.accuracy:.2%} on held-out images (weights sha256 {classifier.sha256[:12]}); squared Frechet "
        f"distance of its 128 features; floor: the same of {count:,} training images; Inception score of its class "
        "probabilities; a class is covered if it has at least a tenth of its frequency among real images"
    )
    return metrics, rule


@figure_style
def draw_class_frequencies(generated: np.ndarray, real: np.ndarray, path: Path) -> None:
    """Draw the frequencies of the classes among generated and real images, both float [K], as bars."""
    figure = Figure(figsize=(7, 3.2), dpi=110, layout="constrained")
    axes = figure.subplots()
    labels = np.arange(len(generated))
    axes.bar(labels - 0.2, 100 * generated, 0.4, color=ACCENT, label="generated")
    axes.bar(labels + 0.2, 100 * real, 0.4, color=FAINT, label="real")
    axes.set_xticks(labels, map(str, labels))
    axes.set_xlabel("class")
    axes.set_ylabel("% of the images")
    axes.legend(ncols=2, loc="upper center", bbox_to_anchor=(0.5, 1.16))
    save_figure(figure, path)


# Two questions need no labels. Are the generated images near duplicates of each other? Are they copies of training
# images? Both are answered by the distance to the nearest neighbour, relative to the same distance of real images.
def measure_neighbours(generated: np.ndarray, images: ImageSet, path: Path | None) -> tuple[dict[str, Any], str]:
    """Search near duplicates among generated images uint8 [N, H, W, C], and copies of training images.

    Return the metrics and the rule by which they were measured; draw pairs, nearest first, to the PNG `path`, if any.
    """
    real = images.train if images.held_out is None else images.held_out
    count = min(len(generated), len(real), MAX_NEIGHBOUR_SAMPLES)
    order, every = random_order(real), np.arange(count)
    generated, real = generated[:count], real[order[:count]]
    to_generated, _ = _nearest(generated, generated, every)
    real_to_real, _ = _nearest(real, real, every)
    to_training, indices = _nearest(generated, images.train)
    real_to_training, _ = _nearest(real, images.train, order if images.held_out is None else None)
    drawn = np.argsort(to_training)[np.linspace(0, count - 1, 12).astype(int)]
    if path:
        draw_neighbours(generated[drawn], images.train[indices[drawn]], path)
    metrics = {
        "diversity": ratio(to_generated, real_to_real),
        "novelty": ratio(to_training, real_to_training),
    }
    reference = "training images (each without itself)" if images.held_out is None else "held-out images"
    rule = (
        f"mean pixel distance of {count:,} generated images to the nearest other one (diversity) and to the nearest "
        f"training image (novelty; 0 for copies), relative to the same of as many {reference}; 1 is ideal"
    )
    return metrics, rule


def _nearest(images: np.ndarray, others: np.ndarray, order: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return `nearest_neighbours` of images as bytes, with pixels scaled to 0 to 1, as arrays.

    `order` holds the indices of all others, those of `images` first; then no image is its own neighbour. The others are
    searched in blocks, because they may be more than the memory holds. The first block holds all images.
    """
    block = max(len(images), _BLOCK_BYTES // (4 * images[0].size))
    distances, indices = np.full(len(images), np.inf, "float32"), np.zeros(len(images), "int64")
    for start in range(0, len(others), block):
        rows = np.arange(start, min(start + block, len(others))) if order is None else order[start : start + block]
        scaled = (pixels.astype(np.float32) / 255 for pixels in (images, others[rows]))
        found = nearest_neighbours(*scaled, order is not None and start == 0)
        block_distances, block_indices = (values.numpy() for values in found)
        is_nearer = block_distances < distances
        distances[is_nearer] = block_distances[is_nearer]
        indices[is_nearer] = rows[block_indices[is_nearer]]
    # |a|^2 + |b|^2 - 2 a.b rounds, and is not quite 0 for a copy
    exact = [np.linalg.norm(image / 255 - others[index] / 255) for image, index in zip(images, indices, strict=True)]
    return np.array(exact), indices


def ratio(distances: np.ndarray, reference: np.ndarray) -> float:
    """Return the ratio of the two means; if that of `reference` is 0, 1 if the other is too, else 0."""
    return float(distances.mean() / reference.mean()) if reference.mean() else float(distances.mean() == 0)


def draw_neighbours(generated: np.ndarray, nearest_training: np.ndarray, path: Path) -> None:
    """Draw generated images uint8 [N, H, W, C] in a row, and below each the training image nearest to it."""
    pairs = grid(np.concatenate([generated, nearest_training]), len(generated), scale=max(1, 56 // generated.shape[1]))
    title = "generated (above), the nearest training image (below)"
    save_image(titled(pairs.convert("RGB"), title), path)
