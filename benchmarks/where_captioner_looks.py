"""The pointing game on a trained captioner's own captions and on the true captions.

python -m benchmarks.where_captioner_looks --run RUN --instances DIR/coco/annotations/instances_val2017.json

The true captions name many more objects, also some that the model would not have named. Four ways to tell from
attention where it points: the peak of what found the word, as drawn; the middle of that, each place weighed by its
attention; the peak of what finds the next word, when this one has been read; and the peak of the posterior attention,
which knows the word.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf
import tyro

from common.data.images import read_image
from common.errors import UserError
from common.training.run_directory import RunDirectory
from examples.image_captioning.attention import EncoderOutput
from examples.image_captioning.demo import PhotoCaptioner
from examples.image_captioning.download.image_files import resize
from examples.image_captioning.metrics.pointing import PointingGame, read_coco_boxes
from examples.image_captioning.model import Captioner
from examples.image_captioning.vocabulary import encode_caption, tokenise

RASTER = 100
WAYS = {
    "peak": lambda attention, posterior: attention,
    "middle": lambda attention, posterior: np.stack([middle(grid) for grid in attention]),
    "peak, a word late": lambda attention, posterior: np.concatenate([attention[1:], attention[-1:]]),
    "peak of the posterior": lambda attention, posterior: posterior,
}


def middle(grid: np.ndarray) -> np.ndarray:
    """Return a fine grid [RASTER, RASTER] with its only weight where the mean of `grid` is."""
    fine = np.zeros((RASTER, RASTER))
    rows, columns = (np.arange(side) + 0.5 for side in grid.shape)
    row = np.average(rows, weights=grid.sum(axis=1)) / len(rows)
    column = np.average(columns, weights=grid.sum(axis=0)) / len(columns)
    fine[int(row * RASTER), int(column * RASTER)] = 1
    return fine


def true_captions(instances: Path) -> dict[str, list[list[str]]]:
    """Return for each photo's name its captions, as words, from the file of captions beside that of instances."""
    content = json.loads((instances.parent / instances.name.replace("instances", "captions")).read_text())
    names = {image["id"]: image["file_name"] for image in content["images"]}
    captions: dict[str, list[list[str]]] = {name: [] for name in names.values()}
    for annotation in content["annotations"]:
        captions[names[annotation["image_id"]]].append(tokenise(annotation["caption"]))
    return captions


@tf.function(reduce_retracing=True)
def attention_and_posterior(model: Captioner, source: tf.Tensor, ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return attention and posterior attention, float32 [T, L], for a photo and its caption, ids int32 [T+1].

    The posterior of cell l is alpha_tl p(y_t | l) / sum_k alpha_tk p(y_t | k) (Deng et al. 2018, arXiv:1807.03756),
    where p(y_t | l) is what the output layer gives for the features of cell l alone in place of the context.
    """
    image, state = model.encode(source)
    words = model.embed(ids[None, :-1])  # 1 T E
    hidden = model.lstm(words, initial_state=state)  # 1 T U
    _, attention = model.attend(hidden, image)  # 1 T L
    cells = features_of_cells(image)[None]  # 1 L C+U
    logits = model.deep_output(hidden[0][:, None], cells, image.mean_feature, words[0][:, None])  # T L V
    nll = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.repeat(ids[1:, None], tf.shape(cells)[1], axis=1), logits)
    return attention[0], tf.nn.softmax(tf.math.log(attention[0]) - nll)  # T L, T L


def features_of_cells(image: EncoderOutput) -> tf.Tensor:
    """Return v_l and u_m(l) of each cell l, [L, C+U]."""
    sides = [round(grid.shape[1] ** 0.5) for grid in (image.location_features, image.content_values)]
    numbers = tf.reshape(tf.range(sides[1] ** 2), [sides[1], sides[1]])  # of the content cells
    for axis in (0, 1):
        numbers = tf.repeat(numbers, sides[0] // sides[1], axis=axis)
    content = tf.gather(image.content_values[0], tf.reshape(numbers, [-1]))  # L U
    return tf.concat([image.location_features[0], content], axis=-1)


def read_along(
    captioner: PhotoCaptioner, source: tf.Tensor, words: list[str]
) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Return the words of a caption, those unknown left blank, and for each its attention and posterior attention."""
    words = words[: captioner.max_length]
    ids = encode_caption(captioner.vocabulary, words, captioner.max_length)
    maps = attention_and_posterior(captioner.model, source, tf.constant(ids))  # T+1 L each
    side = round(maps[0].shape[-1] ** 0.5)
    known = set(captioner.vocabulary.symbols)
    attention, posterior = (values.numpy()[: len(words)].reshape(-1, side, side) for values in maps)
    return [word if word in known else "" for word in words], attention, posterior


def plays(captioner: PhotoCaptioner, instances: Path) -> Iterator[tuple]:
    """Yield (whose caption, photo, words, attention, posterior) for every caption of every photo that is there."""
    folder = instances.parent.parent / instances.stem.removeprefix("instances_")
    captions = true_captions(instances)
    for photo in read_coco_boxes(instances):
        try:
            image = read_image(folder / photo.name)
        except UserError:
            continue
        source = captioner.extractor(tf.constant(resize(image, captioner.extractor.image_size)[None]))
        described = captioner.caption(source)[0]
        yield "its own", photo, *read_along(captioner, source, described.words)
        for words in captions[photo.name]:
            yield "true", photo, *read_along(captioner, source, words)


def main(run: Path, instances: Path) -> None:
    """Print a table.

    Args:
        run: of `train`.
        instances: a file of COCO's instances, beside that of captions and the folder of the photos.
    """
    games = {(whose, way): PointingGame() for whose in ("its own", "true") for way in WAYS}
    for whose, photo, words, *maps in plays(PhotoCaptioner.load(RunDirectory(run)), instances):
        for way, grids in WAYS.items():
            if words:
                games[whose, way].update(photo, words, grids(*maps))
    print("| captions | words | points with | hits | centre | anywhere | lead over the centre |")
    print("|---|---|---|---|---|---|---|")
    for (whose, way), game in games.items():
        r = game.results()
        if not r["pointing_words"]:
            continue
        lead = f"{r['pointing'] - r['pointing_centre']:+.2f} ± {r['pointing_error']:.2f}"
        shares = f"{r['pointing']:.2f} | {r['pointing_centre']:.2f} | {r['pointing_chance']:.2f}"
        print(f"| {whose} | {r['pointing_words']} | {way} | {shares} | {lead} |")


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
