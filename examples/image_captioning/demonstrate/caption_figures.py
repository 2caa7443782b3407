"""Sheets and GIFs of captions with their attention, for any photo and for a fixed few after every epoch."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageOps

from common.app.outputs import Outputs
from common.data.images import read_image, save_image
from common.io.files import write_atomically
from common.io.terminal import echo, one_line
from common.training.projector import write_projector
from common.training.run_directory import RunDirectory
from common.training.samples import SampleCallback, evenly_spaced, sample_path
from common.viz import figures
from examples.image_captioning.data import PhotoSet
from examples.image_captioning.demo import Caption, Classes, PhotoCaptioner
from examples.image_captioning.demonstrate import attention_overlay

NUM_SAMPLES = 6  # validation photos that are captioned after every epoch; the first of them is drawn
GIF_OPTIONS = {"colours": 128, "dither": True}  # attention fades smoothly, on photos and on drawn scenes
SUFFIXES = (".png", ".gif")  # of the files that `draw_caption` writes


def draw_caption(image: Image.Image, caption: Caption, outputs: Outputs, stem: str, source: object) -> list[Path]:
    """Draw a caption's attention as `STEM.png`, a sheet, and `STEM.gif`, word by word; return both paths.

    `outputs` writes the files, whose names must be free; `source` identifies the photo, for instance its path.
    """
    sheet = attention_overlay.sheet(image, caption.words, caption.attention, caption.text)
    written = [outputs.save_png(f"{stem}.png", sheet, source)]
    if caption.words:
        frames = attention_overlay.frames(image, caption.words, caption.attention)
        written.append(outputs.save_gif(f"{stem}.gif", frames, source, frame_ms=700, last_ms=2500, **GIF_OPTIONS))
    return written


class CaptionSamples(SampleCallback):
    """Captions a fixed few validation photos: the texts as samples, the first photo's sheet as a PNG beside them."""

    LAST_SUFFIX = ".png"

    def __init__(self, run: RunDirectory, captioner: PhotoCaptioner, photos: PhotoSet):
        super().__init__(run)
        self.captioner, self.photos, self.samples = captioner, photos, sample_photos(photos)

    def write(self, epoch: int, logs: dict[str, float]) -> None:
        """Write the captions and the sheet after `epoch` epochs."""
        captions = self.captioner.caption(self.photos.read(self.samples), beam=1)
        photos = [self.photos.photos[index] for index in self.samples]
        lines = [f"{one_line(photo.name)}: {caption.text}\n" for photo, caption in zip(photos, captions, strict=True)]
        loss = f": {logs['val_loss']:.3f} nats a word" if "val_loss" in logs else ""
        title = f"after epoch {epoch}{loss}" if epoch else "before training"
        words, attention = captions[0].words[:9], captions[0].attention[:9]
        sheet = attention_overlay.sheet(photos[0].open(), words, attention, f"{title}\n{captions[0].text}")
        write_atomically(sample_path(self.run, epoch), "".join(lines))
        save_image(sheet, sample_path(self.run, epoch, ".png"))


def sample_photos(photos: PhotoSet) -> list[int]:
    """Return the indices of the sample photos, spread over the set."""
    count = min(NUM_SAMPLES, len(photos))
    return [(index * len(photos) + len(photos) // 3) // count for index in range(count)]


def draw_figures(run: RunDirectory, photos: PhotoSet, uniform_nll: float, classes: Classes) -> None:
    """Draw learning curve, training GIF and the caption sheets of the run so far; nothing if no epoch is finished.

    `photos` are the validation photos; `uniform_nll` is the loss of a uniform distribution, in nats per word.
    """
    rows = run.read_metrics()
    if not rows:
        return
    figures.learning_curve(rows, run.figures / "learning_curve.png", "nats per word", uniform_nll)
    epochs = evenly_spaced([0, *(int(row["epoch"]) for row in rows)])
    sheets = [read_image(sample_path(run, epoch, ".png")) for epoch in epochs]
    figures.save_gif(_to_one_size(sheets), run.figures / "training.gif", frame_ms=1500, **GIF_OPTIONS)
    captioner, samples = PhotoCaptioner.load(run, classes), sample_photos(photos)
    write_projector(run, captioner.embeddings())
    outputs = Outputs(run.figures, maker="train", overwrite=True)
    captions = captioner.caption(photos.read(samples))
    for number, (index, caption) in enumerate(zip(samples, captions, strict=True), start=1):
        draw_caption(photos.photos[index].open(), caption, outputs, f"caption_{number}", source=number)
    echo(f"figures: {run.figures}")


def _to_one_size(pictures: Sequence[Image.Image]) -> list[Image.Image]:
    """Return the pictures on canvases of one size, the top left corners in place."""
    width, height = (max(sides) for sides in zip(*(picture.size for picture in pictures), strict=True))
    return [ImageOps.expand(each, (0, 0, width - each.width, height - each.height), figures.PAPER) for each in pictures]
