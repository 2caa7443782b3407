"""How far a trained captioner points at what is named, told in more words than its own captions have.

python -m benchmarks.where_captioner_looks --run RUN --instances DIR/coco/annotations/instances_val2017.json

Played with its own captions, and with the true ones, which name many more objects, also such as it would not have seen.
Three ways to tell from attention where it points: the peak of what found the word, as drawn; the middle of that, each
place weighed by its attention; and the peak of what finds the next word, when this one has been read.
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
from examples.image_captioning.demo import BeamSearchOptions, PhotoCaptioner
from examples.image_captioning.download.image_files import resize
from examples.image_captioning.metrics.pointing import BoxedPhoto, PointingGame, read_coco_boxes
from examples.image_captioning.vocabulary import encode_caption, tokenise

RASTER = 100
WAYS = {
    "peak": lambda attention: attention,
    "middle": lambda attention: np.stack([middle(grid) for grid in attention]),
    "peak, a word late": lambda attention: np.concatenate([attention[1:], attention[-1:]]),
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


def read_along(captioner: PhotoCaptioner, source: tf.Tensor, words: list[str]) -> tuple[list[str], np.ndarray]:
    """Return the words of a caption, those unknown left blank, and the attention with which each would be found."""
    words = words[: captioner.max_length]
    ids = encode_caption(captioner.vocabulary, words, captioner.max_length)
    _, attention = captioner.model(source, tf.constant(ids[None, :-1]))  # 1 T+1 L
    side = round(attention.shape[-1] ** 0.5)
    known = set(captioner.vocabulary.symbols)
    grids = attention.numpy()[0, : len(words)].reshape(-1, side, side)
    return [word if word in known else "" for word in words], grids


def plays(captioner: PhotoCaptioner, instances: Path) -> Iterator[tuple[str, BoxedPhoto, list[str], np.ndarray]]:
    """Yield (whose caption, photo, words, attention) for every caption of every photo that is there."""
    folder = instances.parent.parent / instances.stem.removeprefix("instances_")
    captions = true_captions(instances)
    for photo in read_coco_boxes(instances):
        try:
            image = read_image(folder / photo.name)
        except UserError:
            continue
        source = captioner.extractor(tf.constant(resize(image, captioner.extractor.image_size)[None]))
        described = captioner.caption(source, BeamSearchOptions())[0]
        yield "its own", photo, described.words, described.attention
        for words in captions[photo.name]:
            yield "true", photo, *read_along(captioner, source, words)


def main(run: Path, instances: Path) -> None:
    """Print a table.

    Args:
        run: of `train`.
        instances: a file of COCO's instances, beside that of captions and the folder of the photos.
    """
    games = {(whose, way): PointingGame() for whose in ("its own", "true") for way in WAYS}
    for whose, photo, words, attention in plays(PhotoCaptioner.load(RunDirectory(run)), instances):
        for way, grids in WAYS.items():
            if words:
                games[whose, way].update(photo, words, grids(attention))
    print("| captions | words | points with | hits | centre | anywhere | lead over the centre |")
    print("|---|---|---|---|---|---|---|")
    for (whose, way), game in games.items():
        r = game.results()
        lead = f"{r['pointing'] - r['pointing_centre']:+.2f} ± {r['pointing_error']:.2f}"
        shares = f"{r['pointing']:.2f} | {r['pointing_centre']:.2f} | {r['pointing_chance']:.2f}"
        print(f"| {whose} | {r['pointing_words']} | {way} | {shares} | {lead} |")


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
