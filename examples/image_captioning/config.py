"""Every setting of the example, its reason, and the three presets."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import tyro

from common.app import cli
from common.app.cli import (
    MAX_STEPS,
    MAX_WIDTH,
    OutputOptions,
    TrainOptions,
    require_between,
    require_fraction,
    require_positive,
)
from common.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Config(TrainOptions):
    """Train a captioner with visual attention, or resume the run found in --run-dir.

    - A first look, no network: train --preset tiny
    - Flickr8k, 8,000 photos: train
    - As many photos of MS-COCO as you like: train --data coco --images 10000 --run-dir runs/coco
    - Your own photos: train --data photos/ --run-dir runs/mine, where photos/ holds a captions.json, a list of
    {"image": "a.jpg", "captions": ["A dog."], "split": "train"}, or a captions.tsv of two columns, photo and caption.
    """

    EXAMPLE: ClassVar[str] = "image_captioning"
    DATA_SETS: ClassVar[tuple[str, ...]] = ("flickr8k", "coco", "coco-val2017", "tiny")
    RUNTIME: ClassVar[frozenset[str]] = TrainOptions.RUNTIME | {"features_dir"}

    data: str = "flickr8k"
    """flickr8k, coco, coco-val2017 (COCO's small half alone), tiny (scenes that the code draws), or the path of a
    folder with photos and a captions.json or captions.tsv."""
    images: int = 1000
    """With coco: photos to train on; a tenth as many more validate. About 160 kB each, fetched one by one."""
    features_dir: Path | None = None
    """Where the features of photos are kept, to be computed only once: 351 kB a photo with mobilenet_v2, 360 kB with
    inception_v3. [default: in the user's cache folder]"""
    encoder: Literal["inception_v3", "mobilenet_v2", "tiny"] = "mobilenet_v2"
    """What sees. inception_v3 (looks at 8 x 8 cells) and mobilenet_v2 (14 x 14), trained on ImageNet, are used as they
    are; tiny (8 x 8) is a small network trained along."""
    encoder_weights: str = "imagenet"
    """imagenet (downloaded by Keras), random, or the path of a weights file without the top. No matter for tiny."""
    epochs: int = 10
    """Passes over all captions; the learning rate is planned to fall to nothing over exactly these."""
    batch_size: int = 64
    """Captions to a step."""
    word_count: int = 5
    """Words that stand less often than this in the training captions are unknown words."""
    most_words: int = 24
    """Captions are cut after so many words, in training and in use."""
    embedding_dim: int = 256
    """Width of a word's vector."""
    units: int = 512
    """Width of the decoder's state, of the first impression, and of the layer before the words."""
    attention_units: int = 64
    """Width of the layer in which question and places meet."""
    dropout: float = 0.5
    """Share of the layer before the words set to zero in training; this, not time, is what limits on 6,000 photos."""
    input_dropout: float = 0.3
    """The same for word vectors, for what was looked at and for the first impression."""
    word_dropout: float = 0.1
    """Share of the words read that are unknown words in training, so that more must be learned from the photo."""
    gate: Literal["none", "scalar", "vector"] = "scalar"
    """Let the decoder say, word by word, how much the photo counts (Xu et al. 2015, section 4.2.1): as a whole, or each
    unit of what it tells by itself."""
    remind: bool = False
    """Tell the recurrence the first impression with every word, and not only at the beginning. The relation in a drawn
    scene depends on it; photos were described a little worse with it."""
    penalty: float = 0.0
    """Weight of the doubly stochastic penalty of Xu et al. 2015, equation 14: every place should be looked at once in
    a caption. It works against pointing; see the README."""
    looking: float = 0.0
    """Weight of the looking loss: the word should be guessed from the word before and from what is looked at alone. For
    drawn scenes: their captions can be made from the first impression of the whole, and attention would point at
    nothing in particular. Photos do not need it."""
    label_smoothing: float = 0.1
    """Share of the target's probability that is spread over all words: captions differ, and so should certainty."""
    learning_rate: float = 1.5e-3
    """Adam's step size at its peak."""
    warmup_steps: int = 200
    """Steps over which the learning rate climbs from 0."""
    clip_norm: float = 5.0
    """Gradients longer than this are shortened to it."""

    def __post_init__(self):
        """Check the ranges.

        Raises:
            UserError: a value out of its range.
        """
        super().__post_init__()
        require_between(1, MAX_STEPS, self, "images", "word_count")
        require_between(1, 1000, self, "most_words")
        require_between(1, MAX_WIDTH, self, "embedding_dim", "units", "attention_units")
        require_between(0, MAX_STEPS, self, "penalty", "looking", "warmup_steps")
        require_fraction(self, "dropout", "input_dropout", "word_dropout", "label_smoothing")
        require_positive(self, "learning_rate", "clip_norm")
        if self.data == "tiny" and self.encoder != "tiny":
            raise UserError("--data tiny: the scenes are for --encoder tiny; or use photos")

    def architecture(self) -> dict[str, Any]:
        """Return the settings that `Captioner` takes."""
        names = "embedding_dim units attention_units dropout input_dropout word_dropout gate remind"
        return {name: getattr(self, name) for name in names.split()}

    def losses(self) -> dict[str, float]:
        """Return the settings that `TrainableCaptioner` takes besides."""
        return {name: getattr(self, name) for name in ("label_smoothing", "penalty", "looking")}


PRESETS = {
    "quick": Config(),
    "tiny": Config(
        preset="tiny", data="tiny", encoder="tiny", encoder_weights="random", epochs=10, batch_size=32, word_count=1,
        embedding_dim=32, units=128, attention_units=64, dropout=0.1, input_dropout=0.0, word_dropout=0.0,
        gate="vector", remind=True, looking=1.0, label_smoothing=0.0, learning_rate=3e-3, warmup_steps=50,
    ),
    "full": Config(preset="full", encoder="inception_v3", epochs=12, attention_units=256),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class CaptionOptions(OutputOptions):
    """Describe photos, and draw where the model looked for each word: a sheet and a GIF for each photo.

    - For instance: caption --run runs/image_captioning/quick holiday.jpg dog.png
    """

    photos: tyro.conf.Positional[tuple[Path, ...]]
    """JPEG, PNG, WebP, GIF (first frame) or BMP, or folders of them."""
    beam: int = 3
    """Captions to keep under way side by side; 1 always takes the likeliest word."""
    length_penalty: float = 0.7
    """0 favours short captions, 1 compares them by the mean a word."""
    out: Path | None = None
    """Folder for the pictures. [default: RUN/captions]"""
    json: bool = False
    """Print one JSON object a photo instead: caption, words, score, and attention as rows of the grid. No pictures."""

    def __post_init__(self):
        """Check the ranges.

        Raises:
            UserError: a value out of its range.
        """
        require_between(1, 1000, self, "beam")
        require_between(0, 100, self, "length_penalty")
        if not self.photos:
            raise UserError("expected at least one photo: caption --run DIR PHOTO.jpg ...")


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(cli.EvaluateOptions):
    """Measure the best checkpoint on photos held out: BLEU, ROUGE-L and CIDEr of captions made freely."""

    split: Literal["validation", "test"] = "validation"
    """Photos to measure on. The best epoch was chosen on validation photos."""
    features_dir: Path | None = None
    """Where the features of photos are kept. [default: in the user's cache folder]"""
    boxes: Path | None = None
    """A file of COCO's instances, to see on its photos whether attention points at what the caption names."""


@dataclass(frozen=True, kw_only=True)
class ExportOptions(OutputOptions):
    """Write a SavedModel, encoded photo in, caption and attention out, that runs without this code.

    The default folder is RUN/saved_model.
    """
