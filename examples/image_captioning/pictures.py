# %% [markdown]
# ### Pictures
#
# One sheet a photo: the photo, and for each word of its caption the photo lit where the model looked. The number beside
# the word tells how sharp the look is: the peak of the attention, in multiples of looking everywhere alike.

# %%
"""Sheets and GIFs of captions with their attention, for any photo and for a fixed few over the epochs."""

from collections.abc import Sequence
from pathlib import Path

import keras
from PIL import Image

from common.app.outputs import Outputs
from common.app.report import read_listing
from common.data.images import read_image, save_image
from common.data.vocabulary import Vocabulary
from common.io.files import write_atomically
from common.io.terminal import echo, one_line
from common.training.run_directory import RunDirectory
from common.viz import attention_overlay, figures

# %% tags=["module"]
from examples.image_captioning.data import PhotoSet
from examples.image_captioning.demo import Described, PhotoCaptioner, Search
from examples.image_captioning.encoder import Encoder

# %%
WATCHED = 6  # validation photos that are described after every epoch; the first of them is drawn


SUFFIXES = (".png", ".gif")  # of the files that `draw_caption` writes


def draw_caption(image: Image.Image, described: Described, outputs: Outputs, stem: str, source: object) -> list[Path]:
    """Draw a caption's attention as `STEM.png`, a sheet, and `STEM.gif`, word by word; return both paths.

    Args:
        image: the photo.
        described: what was said about it.
        outputs: writes the files, whose names must be free.
        stem: of their names.
        source: what tells this photo from others, for instance its path.
    """
    sheet = attention_overlay.sheet(image, described.words, described.attention, described.text)
    written = [outputs.save_png(f"{stem}.png", sheet, source)]
    if described.words:
        frames = attention_overlay.frames(image, described.words, described.attention)
        written.append(outputs.save_gif(f"{stem}.gif", frames, source, frame_ms=700, last_ms=2500))
    return written


class WatchPhotos(keras.callbacks.Callback):
    """Describes a fixed few validation photos before training and after every epoch, into `samples/`.

    `epoch_0000.txt` holds the captions, `epoch_0000.png` the first photo's sheet, and so on.
    """

    def __init__(self, run: RunDirectory, encoder: Encoder, vocabulary: Vocabulary, photos: PhotoSet, most_words: int):
        """Remember what to describe; the model comes with training."""
        super().__init__()
        self.run, self.encoder, self.vocabulary, self.photos = run, encoder, vocabulary, photos
        self.most_words = most_words
        self.watched = watched_photos(photos)

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Let the untrained model try; a resumed run has that already."""
        self.captioner = PhotoCaptioner(self.model, self.encoder, self.vocabulary, self.most_words)
        if not sample_path(self.run, 0, ".png").exists():
            self._describe(0, "before training")

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Describe the photos after `epoch`, which Keras counts from 0."""
        loss = f": {logs['val_loss']:.3f} nats a word" if logs and "val_loss" in logs else ""
        self._describe(epoch + 1, f"after epoch {epoch + 1}{loss}")

    def _describe(self, epochs_done: int, title: str) -> None:
        described = self.captioner.caption(self.photos.read(self.watched), Search(beam=1))
        lines = [
            f"{one_line(self.photos.photos[number].name)}: {one.text}\n"
            for number, one in zip(self.watched, described, strict=True)
        ]
        write_atomically(sample_path(self.run, epochs_done, ".txt"), "".join(lines))
        first = self.photos.photos[self.watched[0]].open()
        sheet = attention_overlay.sheet(
            first, described[0].words[:9], described[0].attention[:9], f"{title}\n{described[0].text}"
        )
        save_image(sheet, sample_path(self.run, epochs_done, ".png"))


def watched_photos(photos: PhotoSet) -> list[int]:
    """Return the numbers of the photos that are watched, spread over the set."""
    count = min(WATCHED, len(photos))
    return [(number * len(photos) + len(photos) // 3) // count for number in range(count)]


def sample_path(run: RunDirectory, epochs_done: int, suffix: str) -> Path:
    """Return where the sample after so many epochs stands."""
    return run.samples / f"epoch_{epochs_done:04d}{suffix}"


def read_samples(run: RunDirectory) -> list[tuple[str, str]]:
    """Return (title, captions) of the samples of this run's epochs, in order."""
    titles = {0: "before training"} | {
        int(row["epoch"]): f"after epoch {int(row['epoch'])}: {row.get('val_loss', row['loss']):.3f} nats a word"
        for row in run.read_metrics("loss")
    }
    return [
        (title, read_listing(sample_path(run, epoch, ".txt")).removesuffix("\n")) for epoch, title in titles.items()
    ]


def draw_pictures(run: RunDirectory, encoder: Encoder, photos: PhotoSet, guessing: float) -> None:
    """Draw learning curve, training GIF and the caption sheets of the run so far; nothing if no epoch is finished.

    Args:
        run: the run.
        encoder: what its photos went through.
        photos: the validation photos.
        guessing: the loss of pure guessing, in nats a word.
    """
    rows = run.read_metrics()
    if not rows:
        return
    figures.learning_curve(rows, run.figures / "learning_curve.png", "nats per word", ("guessing", guessing))
    sheets = [read_image(sample_path(run, int(epoch), ".png")) for epoch in (0, *(row["epoch"] for row in rows))]
    figures.save_gif(_alike(sheets), run.figures / "training.gif", frame_ms=1500)
    captioner, watched = PhotoCaptioner.load(run), watched_photos(photos)
    outputs = Outputs(run.figures, maker="train", overwrite=True)
    for place, (number, described) in enumerate(
        zip(watched, captioner.caption(photos.read(watched), Search()), strict=True), start=1
    ):
        draw_caption(photos.photos[number].open(), described, outputs, f"caption_{place}", source=place)
    echo(f"pictures: {run.figures}")


def _alike(pictures: Sequence[Image.Image]) -> list[Image.Image]:
    """Return the pictures on canvases of one size, the top left corners in place."""
    size = (max(picture.width for picture in pictures), max(picture.height for picture in pictures))
    canvases = [Image.new("RGB", size, figures.PAPER) for _ in pictures]
    for canvas, picture in zip(canvases, pictures, strict=True):
        canvas.paste(picture)
    return canvases
