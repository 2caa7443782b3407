"""Step 5: caption photos with the trained model, with the attention for each word.

A trained captioner takes any photo: rotated by its EXIF data, with 16 bits a pixel, or with transparent corners.
`common.data.images` converts them all to RGB.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image

from common.data.images import image_paths, read_image
from common.data.scripts import join_words
from common.data.vocabulary import Vocabulary
from common.errors import UserError
from common.nn.beam_search import Hypotheses, beam_search
from common.training import trainer
from common.training.checkpoints import restore_weights
from common.training.run_directory import RunDirectory
from examples.image_captioning.config import LENGTH_PENALTY, Config
from examples.image_captioning.download.image_files import resize
from examples.image_captioning.feature_grids import FeatureGrids
from examples.image_captioning.model import Captioner
from examples.image_captioning.preprocess.feature_extractor import FeatureExtractor, load_extractor
from examples.image_captioning.scene_captioner import SceneCaptioner
from examples.image_captioning.vocabulary import (
    END,
    PAD,
    SPECIAL_TOKENS,
    START,
    UNKNOWN,
    decode_caption,
    encode_caption,
    tokenise,
)

# Step 5: caption. **Greedy** search takes the likeliest word at each step. **Beam search** keeps several hypotheses: a
# caption that starts with the second-best word may turn out likelier as a whole. It compares captions by
# ln p / length ** 0.7, where the length includes the end; without the division, short captions would win.
NOT_GENERATED = (PAD, START, UNKNOWN)


@dataclass(frozen=True)
class Caption:
    """A caption with the attention for each word."""

    words: list[str]
    attention: np.ndarray
    """float32 [words, rows, columns]; the weights of each word sum to 1 over the photo"""
    score: float
    """ln p of the caption / length ** length_penalty"""

    @property
    def text(self) -> str:
        """The caption in one string."""
        return join_words(self.words)

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        attention = np.round(self.attention.astype(float), 5).tolist()
        return {"caption": self.text, "words": self.words, "score": round(self.score, 4), "attention": attention}


Images = np.ndarray | tf.Tensor
Classes = tuple[type[Captioner], type[SceneCaptioner]]
"""The classes of the models: for photos, and for drawn scenes."""


def build_model(
    config: Config, vocabulary_size: int, extractor: FeatureExtractor, classes: Classes = (Captioner, SceneCaptioner)
) -> Captioner:
    """Return the untrained model of `config`, with all its variables: for `tiny` that of drawn scenes."""
    photo_class, scene_class = classes
    settings = config.model_settings()
    if extractor.network is None:
        model = scene_class(vocabulary_size, extractor.image_size, **settings)
    else:
        model = photo_class(vocabulary_size, FeatureGrids(*extractor.grids), **settings)
    model(tf.zeros([1, *extractor.shape], extractor.dtype), tf.zeros([1, 1], tf.int32))  # creates the variables
    return model


class PhotoCaptioner:
    """Captions photos with a trained model."""

    def __init__(self, model: Captioner, extractor: FeatureExtractor, vocabulary: Vocabulary, max_length: int):
        self.model, self.extractor, self.vocabulary, self.max_length = model, extractor, vocabulary, max_length
        self._compiled: dict[tuple[int, int | None], Any] = {}

    @classmethod
    def load(cls, run: RunDirectory, classes: Classes = (Captioner, SceneCaptioner)) -> "PhotoCaptioner":
        """Restore the best weights of a run into a new model; the run directory alone is enough.

        It captions in float32, whatever the precision of training. Rounding to bfloat16 makes ties, and their order
        would depend on the other photos of the batch.

        Raises:
            UserError: the run has no checkpoint yet, or it is damaged.
        """
        config = Config.from_settings(run.read_config().settings)
        trainer.set_seed_and_precision(config.seed, "float32")
        vocabulary = Vocabulary.load(run.vocabulary)
        extractor = load_extractor(config.encoder, str(encoder_weights_path(run)))
        model = build_model(config, len(vocabulary), extractor, classes)
        restore_weights(run.checkpoints, model)
        return cls(model, extractor, vocabulary, config.max_length)

    def embeddings(self) -> dict[str, tuple[list[str], np.ndarray]]:
        """Return {"words": (words, vectors float32 [V, E])}."""
        first = len(SPECIAL_TOKENS)
        return {"words": (self.vocabulary.symbols[first:], self.model.embedding.embeddings.numpy()[first:])}

    def caption_file(
        self, path: Path, beam: int = 3, length_penalty: float = LENGTH_PENALTY
    ) -> tuple[Image.Image, Caption]:
        """Return the photo in a file, upright, and its caption.

        Raises:
            UserError: it is no picture that can be read.
        """
        image = read_image(path).convert("RGB")
        return image, self.caption_image(image, beam, length_penalty)

    def caption_image(self, image: Image.Image, beam: int = 3, length_penalty: float = LENGTH_PENALTY) -> Caption:
        """Return the caption of an image."""
        return self.caption(self.encode_images([image]), beam, length_penalty)[0]

    def score(self, images: Images, caption: str, length_penalty: float = LENGTH_PENALTY) -> list[Caption]:
        """Return a given caption for each of several photos, with its score and its attention.

        For `images` see `hypotheses`. Of `caption`, raw text, unknown words become <unk>, and those after `max_length`
        are cut.

        Raises:
            UserError: the caption has no word.
        """
        words = tokenise(caption)[: self.max_length]
        if not words:
            raise UserError(f"--reference: expected a caption with a word, got {caption!r}")
        ids = np.tile(encode_caption(self.vocabulary, words, self.max_length), [len(images), 1])  # B T+2
        logits, attention = self.model(images, ids[:, :-1])  # B T+1 V, B T+1 L
        never = [symbol for symbol in NOT_GENERATED if symbol not in ids[0, 1:]]
        excluded = tf.reduce_sum(tf.one_hot(never, len(self.vocabulary)), axis=0)  # V
        logits = tf.where(excluded > 0, -np.inf, tf.cast(logits, tf.float32))  # as in the search
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(ids[:, 1:], logits)  # B T+1
        scores = -tf.reduce_sum(losses, axis=1) / (len(words) + 1) ** length_penalty  # B
        side = round(attention.shape[-1] ** 0.5)
        grids = tf.cast(attention[:, :-1], tf.float32).numpy().reshape(len(images), len(words), side, side)
        return [Caption(words, grid, float(score)) for grid, score in zip(grids, scores, strict=True)]

    def encode_images(self, images: Sequence[Image.Image]) -> tf.Tensor:
        """Return the features of images, [B, *extractor.shape]."""
        pixels = np.stack([resize(image, self.extractor.image_size) for image in images])  # B S S 3
        return self.extractor(tf.constant(pixels))

    def caption(self, images: Images, beam: int = 3, length_penalty: float = LENGTH_PENALTY) -> list[Caption]:
        """Return the likeliest caption of each of several photos; for the arguments see `hypotheses`."""
        return [best for best, *_ in self.hypotheses(images, beam, length_penalty)]

    def hypotheses(self, images: Images, beam: int = 3, length_penalty: float = LENGTH_PENALTY) -> list[list[Caption]]:
        """Return the `beam` likeliest captions of each of several photos, the best first.

        `images` are their features, or pixels for `tiny`: [B, *extractor.shape].
        """
        rows = 1 if len(images) == 1 else None
        if (beam, rows) not in self._compiled:
            signature = [
                tf.TensorSpec([rows, *self.extractor.shape], self.extractor.dtype),
                tf.TensorSpec([], tf.float32),
            ]
            self._compiled[beam, rows] = tf.function(
                partial(self.search, beam=beam), input_signature=signature, jit_compile=rows == 1
            )
        found = self._compiled[beam, rows](images, tf.constant(length_penalty, tf.float32))
        photos = zip(found.ids.numpy(), found.scores.numpy(), found.attention.numpy(), strict=True)
        return [
            [self._to_caption(ids, float(score), weights) for ids, score, weights in zip(*beams, strict=True)]
            for beams in photos
        ]

    def search(self, images: tf.Tensor, length_penalty: tf.Tensor, beam: int) -> Hypotheses:
        """Return the likeliest captions of images [B, ...], for use inside a `tf.function`."""
        image, state = self.model.encode(images)
        max_lengths = tf.fill(tf.shape(images)[:1], self.max_length + 1)  # B; the last may be <end>
        shape = self.max_length + 1, tf.shape(image.location_features)[1]
        return beam_search(
            self.model.decode_step, state, image, START, END, max_lengths, shape, beam, length_penalty, NOT_GENERATED
        )

    def _to_caption(self, ids: np.ndarray, score: float, weights: np.ndarray) -> Caption:
        words = decode_caption(self.vocabulary, ids)[: self.max_length]  # without <end>, there is one more
        side = round(weights.shape[-1] ** 0.5)
        return Caption(words, weights[: len(words)].reshape(-1, side, side), score)


def encoder_weights_path(run: RunDirectory) -> Path:
    """Return the path of the copy of the extractor's weights in a run, so that the run is complete."""
    return run.path / "encoder.safetensors"


def find_photos(paths: Iterable[Path]) -> list[Path]:
    """Return the files named, and those in the folders named.

    Raises:
        UserError: a folder without pictures, or a web address.
    """
    found: list[Path] = []
    for path in paths:
        if re.match(r"https?:/", str(path)):
            address = str(path).replace(":/", "://", 1)  # a path has lost one of the two
            raise UserError(f"{address}: a web address; download the picture, and name the file")
        inside = image_paths(path) if path.is_dir() else [path]
        if not inside:
            raise UserError(f"{path}: no picture in it; name photos, or a folder with some")
        found += inside
    return found
