"""The settings with their reasons, and the presets. Each field is a command-line flag, its docstring the help text."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import tyro
from annotated_types import Interval

from common.app import cli
from common.app.cli import OrNone, OutputOptions, TrainOptions
from common.app.intervals import Beam, Count, CountOrZero, Fraction, LengthPenalty, NotNegative, Positive, Width
from common.errors import UserError

LENGTH_PENALTY = 0.7
"""The default exponent by which a beam search divides ln p; see `CaptionOptions.length_penalty`."""


@dataclass(frozen=True, kw_only=True)
class Config(TrainOptions):
    """Train a captioner with visual attention, or resume the run found in --run-dir.

    - Drawn scenes, nothing to download: train --preset tiny
    - Flickr8k, 8,000 photos, 18 minutes on 2 cores: train
    - With mirrored photos, for longer, 50 minutes on one core: train --preset full
    - As many photos of MS-COCO as you like: train --data coco --images 10000 --run-dir runs/coco
    - Your own photos: train --data photos/ --run-dir runs/mine, where photos/ holds a captions.json, a list of
    {"image": "a.jpg", "captions": ["A dog."], "split": "train"}, or a captions.tsv, .csv or .txt of two columns, photo
    and caption, or the annotations of COCO.
    """

    EXAMPLE: ClassVar[str] = "image_captioning"
    DATA_SETS: ClassVar[tuple[str, ...]] = ("flickr8k", "coco", "coco-val2017", "tiny")
    ADAPTABLE: ClassVar[tuple[str, ...]] = (*TrainOptions.ADAPTABLE, "min_count")
    INHERITED: ClassVar[tuple[str, ...]] = ("encoder", "embedding_dim", "units", "attention_units")
    RUNTIME: ClassVar[frozenset[str]] = TrainOptions.RUNTIME | {"features_dir"}

    data: str = "flickr8k"
    """flickr8k, coco, coco-val2017 (COCO's small half alone), tiny (scenes that the code draws), or the path of a
    folder of photos with a list of captions, or of the list itself."""
    encoding: OrNone[str] = None
    """Encoding of your list of captions, such as cp1252, gb18030 or shift_jis. [default: UTF-8, or UTF-16 and UTF-32
    with a byte order mark]"""
    max_skipped: Fraction = 0.05
    """Largest fraction of photos that are missing or unreadable; they are counted and left out."""
    images: Count = 1000
    """With coco: photos to train on; a tenth as many more validate. About 160 kB each, fetched one by one."""
    features_dir: OrNone[Path] = None
    """Folder of the features of photos, which are computed only once: 351 kB a photo with mobilenet_v2, 360 kB with
    inception_v3. [default: in the user's cache folder]"""
    encoder: Literal["inception_v3", "mobilenet_v2", "tiny"] = "mobilenet_v2"
    """The network that extracts the features of photos. inception_v3 (attention over 8 x 8 cells) and mobilenet_v2
    (14 x 14), trained on ImageNet, are frozen; tiny (8 x 8) is a small network, trained with the captioner of drawn
    scenes."""
    encoder_weights: str = "imagenet"
    """imagenet (downloaded by Keras), random, or the path of a weights file without the top. Not used by tiny."""
    mirror: bool = False
    """Train on mirrored photos as well: against overfitting in a longer run. Features then take twice the time and
    space. Captions that say left or right are wrong for the mirrored photo."""
    epochs: Count = 10
    """Passes over all captions; the learning rate falls to 0 over exactly these."""
    batch_size: Width = 64
    """Captions in a training step."""
    min_count: Count = 5
    """Words that occur fewer times than this in the training captions become <unk>."""
    max_length: Annotated[int, Interval(ge=1, le=1000)] = 24
    """Words of a caption at most, in training and in use; longer ones are cut."""
    embedding_dim: Width = 256
    """Width of the word vectors."""
    embeddings: OrNone[str] = None
    """File of word vectors (word2vec, GloVe or fastText in text form, or .gz) at which the embeddings of words start.
    --embedding-dim must be their width."""
    units: Width = 512
    """Width of the LSTM, of the mean image feature, and of the layer before the logits."""
    attention_units: Width = 64
    """Width of keys and query in the attention."""
    dropout: Fraction = 0.5
    """Dropout rate before the logits. With 6,000 photos the limit is overfitting, not training time."""
    input_dropout: Fraction = 0.3
    """Dropout rate of word vectors, context and mean image feature."""
    word_dropout: Fraction = 0.1
    """Fraction of the input words replaced by <unk> in training, so that the LSTM has to use the image."""
    doubly_stochastic_weight: NotNegative = 0.0
    """Weight of the doubly stochastic loss (Xu et al. 2015, equation 14), which pushes the total attention on each cell
    towards 1. It makes attention less precise."""
    label_smoothing: Fraction = 0.1
    """Fraction of the target's probability that is spread over all words: other captions would be right as well."""
    learning_rate: Positive = 1.5e-3
    """Adam's learning rate at its peak."""
    warmup_steps: CountOrZero = 200
    """Steps over which the learning rate rises to its maximum."""
    clip_norm: Positive = 5.0
    """Largest global norm of the gradients; longer ones are scaled to it."""

    def __post_init__(self):
        super().__post_init__()
        if self.init_from and self.embeddings:
            raise UserError("--init-from and --embeddings: expected one of them, got both")
        if self.data == "tiny" and self.mirror:
            raise UserError("--mirror: captions of drawn scenes say left and right; leave it out, or use photos")
        if self.data == "tiny" and self.encoder != "tiny":
            raise UserError("--data tiny: the scenes are for --encoder tiny; or use photos")

    def model_settings(self) -> dict[str, Any]:
        """Return the settings that are arguments of `Captioner`."""
        names = (
            "embedding_dim units attention_units dropout input_dropout word_dropout label_smoothing "
            "doubly_stochastic_weight"
        )
        return {name: getattr(self, name) for name in names.split()}


# The name of a further preset also goes into `TrainOptions.preset`.
PRESETS = {
    "quick": Config(),  # the defaults above
    "tiny": Config(
        preset="tiny", data="tiny", precision="float32", xla=False, encoder="tiny", encoder_weights="random", epochs=10,
        batch_size=32, min_count=1, embedding_dim=32, units=128, attention_units=64, dropout=0.1,
        input_dropout=0.0, word_dropout=0.0, label_smoothing=0.0, learning_rate=3e-3, warmup_steps=50,
    ),
    "full": Config(preset="full", mirror=True, epochs=16),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class CaptionOptions(OutputOptions):
    """Caption photos, and draw the attention for each word: a sheet and a GIF for each photo.

    - For instance: caption --run runs/image_captioning/quick holiday.jpg dog.png
    - How likely is a caption, and where does the model look for it? Add --reference "a dog runs on the beach"
    """

    photos: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="PHOTO ...")]
    """JPEG, PNG, WebP, GIF (first frame), BMP or TIFF, or folders of them."""
    beam: Beam = 3
    """Hypotheses of the beam search; 1 is greedy search."""
    length_penalty: LengthPenalty = LENGTH_PENALTY
    """0 compares captions by log-probability, which favours short ones; 1 by its mean per word."""
    reference: OrNone[str] = None
    """A caption of yours for each of the photos. It is scored, and its attention drawn, in place of a search."""
    out: OrNone[Path] = None
    """Folder for the pictures. [default: RUN/captions]"""
    json: bool = False
    """Print one JSON object a photo instead: caption, words, score, and attention as rows of the grid. No pictures."""

    def __post_init__(self):
        super().__post_init__()
        if not self.photos:
            raise UserError("expected at least one photo: caption --run DIR PHOTO.jpg ...")


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(cli.EvaluateOptions):
    """Measure the best checkpoint on held-out photos: BLEU, ROUGE-L and CIDEr of generated captions."""

    split: Literal["validation", "test"] = "validation"
    """Photos to measure on. The best epoch was chosen on validation photos."""
    features_dir: OrNone[Path] = None
    """Folder of the features of photos. [default: in the user's cache folder]"""
    boxes: OrNone[Path] = None
    """A file of COCO's instances: measure on its photos whether attention points at what the caption names."""
    encoding: OrNone[str] = None
    """Encoding of --test-data. [default: as in training]"""
    max_skipped: OrNone[Fraction] = None
    """Largest fraction of --test-data that may be unusable. [default: as in training]"""
