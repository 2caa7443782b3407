# %% [markdown]
# # Image captioning: the demonstration
#
# A trained captioner takes any photo. What people actually have on their disks differs from a data set: phones write
# photos that lie on their side, scanners 16 bits a pixel, designers transparent corners; `common.data.images` makes
# them all alike.

# %%
"""Step 5: describe photos with the trained model, and see where it looked for each word."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image

from common.data.images import image_paths, read_image
from common.data.vocabulary import Vocabulary
from common.errors import UserError
from common.nn.beam_search import Hypotheses, beam_search
from common.training import trainer
from common.training.checkpoints import restore_weights
from common.training.run_directory import RunDirectory

# %% tags=["module"]
from examples.image_captioning.config import Config
from examples.image_captioning.data import END, START, decode_caption
from examples.image_captioning.encoder import Encoder, load_encoder
from examples.image_captioning.model import Captioner
from examples.image_captioning.photos import squeeze

# %% [markdown]
# ## Step 5: caption
#
# **Greedy** search says the likeliest word, again and again. **Beam search** keeps the best few beginnings under way: a
# caption that starts with the second-best word may turn out the better one. It scores by $\ln p /
# \mathrm{words}^{0.7}$, without which short captions would win for being short.


# %%
@dataclass(frozen=True)
class Search:
    """How captions are searched for; the fields are those of the `caption` command."""

    beam: int = 3
    length_penalty: float = 0.7


@dataclass(frozen=True)
class Described:
    """A caption, and where the model looked for each word of it."""

    words: list[str]
    attention: np.ndarray
    """float32 [words, rows, columns], each word's weights adding up to one over the photo"""
    score: float
    """ln p of the caption / length ** length_penalty"""

    @property
    def text(self) -> str:
        """The caption in one string."""
        return " ".join(self.words)

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        attention = np.round(self.attention.astype(float), 5).tolist()
        return {"caption": self.text, "words": self.words, "score": round(self.score, 4), "attention": attention}


class PhotoCaptioner:
    """Describes photos with a trained model."""

    def __init__(self, model: Captioner, encoder: Encoder, vocabulary: Vocabulary, most_words: int):
        """Compile nothing yet: that happens at the first use."""
        self.model, self.encoder, self.vocabulary, self.most_words = model, encoder, vocabulary, most_words
        self._compiled: dict[tuple[int, int | None], Any] = {}

    @classmethod
    def load(cls, run: RunDirectory) -> "PhotoCaptioner":
        """Restore the best weights of a run; the run directory alone is enough.

        Raises:
            UserError: the run has no checkpoint yet, or it is damaged.
        """
        config = Config.from_settings(run.read_config().settings)
        trainer.set_seed_and_precision(config.seed, config.precision)
        vocabulary = Vocabulary.load(run.vocabulary)
        encoder = load_encoder(config.encoder, str(encoder_weights_path(run)))
        model = Captioner(len(vocabulary), encoder, **config.architecture()).build_weights(encoder)
        restore_weights(run.checkpoints, model)
        return cls(model, encoder, vocabulary, config.most_words)

    def caption_file(self, path: Path, search: Search) -> tuple[Image.Image, Described]:
        """Return the photo in a file, upright, and its description.

        Raises:
            UserError: it is no picture that can be read.
        """
        image = read_image(path).convert("RGB")
        return image, self.caption_image(image, search)

    def caption_image(self, image: Image.Image, search: Search) -> Described:
        """Return the description of a picture."""
        kept = self.encoder(tf.constant(squeeze(image, self.encoder.image_size)[None]))  # 1 S
        return self.caption(kept, search)[0]

    def caption(self, source: np.ndarray | tf.Tensor, search: Search) -> list[Described]:
        """Return the best description of each of several photos.

        Args:
            source: what the encoder keeps of them, [B, *encoder.shape].
            search: how to look for it.
        """
        rows = 1 if len(source) == 1 else None
        if (search.beam, rows) not in self._compiled:
            signature = [tf.TensorSpec([rows, *self.encoder.shape], self.encoder.dtype), tf.TensorSpec([], tf.float32)]
            self._compiled[search.beam, rows] = tf.function(
                partial(self.search, beam=search.beam), input_signature=signature, jit_compile=rows == 1
            )
        found = self._compiled[search.beam, rows](source, tf.constant(search.length_penalty, tf.float32))
        best = zip(found.ids[:, 0].numpy(), found.scores[:, 0].numpy(), found.attention[:, 0].numpy(), strict=True)
        return [self._describe(ids, float(score), weights) for ids, score, weights in best]

    def search(self, source: tf.Tensor, length_penalty: tf.Tensor, beam: int) -> Hypotheses:
        """Search for captions; compiled, or part of another graph."""
        memory, state = self.model.look(source)
        most = tf.fill(tf.shape(source)[:1], self.most_words + 1)  # B; the last may be <end>
        room = self.most_words + 1, tf.shape(memory[0])[1]
        return beam_search(self.model.next_word, state, memory, START, END, most, room, beam, length_penalty)

    def _describe(self, ids: np.ndarray, score: float, weights: np.ndarray) -> Described:
        words = decode_caption(self.vocabulary, ids)
        side = round(weights.shape[-1] ** 0.5)
        return Described(words, weights[: len(words)].reshape(-1, side, side), score)


def encoder_weights_path(run: RunDirectory) -> Path:
    """Return where a run keeps a copy of its encoder's weights, so that it works wherever it is."""
    return run.path / "encoder.safetensors"


def find_photos(paths: Iterable[Path]) -> list[Path]:
    """Return the files named, and those in the folders named.

    Raises:
        UserError: a folder without pictures.
    """
    found: list[Path] = []
    for path in paths:
        inside = image_paths(path) if path.is_dir() else [path]
        if not inside:
            raise UserError(f"{path}: no picture in it; name photos, or a folder with some")
        found += inside
    return found
