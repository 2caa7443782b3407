"""The commands: python -m examples.image_captioning {train|caption|evaluate|export}.

Their flags are the fields of the dataclasses in config.py.
"""

import sys
from functools import partial

from common.app import commands
from common.app.cli import Command, ExportOptions, main
from examples.image_captioning.config import PRESETS, CaptionOptions, Config, EvaluateOptions


def caption(options: CaptionOptions) -> None:
    """Print a caption for each photo, and draw its attention.

    Raises:
        UserError: a photo cannot be read, and the others have their captions by then; or other files are in the way.
    """
    from common.app.outputs import Outputs
    from common.data.images import read_image
    from common.errors import UserError
    from common.io.terminal import echo, json_line
    from common.training.run_directory import RunDirectory
    from examples.image_captioning.demo import PhotoCaptioner, find_photos
    from examples.image_captioning.demonstrate.caption_figures import SUFFIXES, draw_caption

    run = RunDirectory.open(options.run, Config.EXAMPLE)
    outputs = Outputs(options.out or run.path / "captions", run.identity, options.overwrite)
    photos = find_photos(options.photos)
    captioner = PhotoCaptioner.load(run)
    failures = []
    for path in photos:
        source = path.absolute() if options.reference is None else f"{path.absolute()} {options.reference}"
        stem = path.stem if options.json else outputs.free_stem(path.stem, SUFFIXES, source)
        try:
            if options.reference is None:
                image, caption = captioner.caption_file(path, options.beam, options.length_penalty)
            else:
                image = read_image(path).convert("RGB")
                features = captioner.encode_images([image])
                [caption] = captioner.score(features, options.reference, options.length_penalty)
        except UserError as error:
            failures.append(str(error))
            continue
        if options.json:
            echo(json_line({"photo": str(path), **caption.as_json()}))
        else:
            drawn = ", ".join(map(str, draw_caption(image, caption, outputs, stem, source)))
            score = "" if options.reference is None else f"score {caption.score:.4f}: "
            echo(f"{path}: {score}{caption.text}  ({drawn})")
    if failures:
        raise UserError(f"{len(failures)} of the photos have no caption: " + "; ".join(failures))


train = partial(commands.train, __package__, "caption --run {run} PHOTO.jpg")
evaluate = partial(commands.evaluate, __package__)
export = partial(commands.export, __package__, "PhotoCaptioner")
COMMANDS = {
    "train": Command("train or resume a model", Config, train, PRESETS),
    "caption": Command("caption photos with a trained model", CaptionOptions, caption),
    "evaluate": Command("measure a trained model on held-out photos", EvaluateOptions, evaluate),
    "export": Command("write a SavedModel, photo in, caption and attention out", ExportOptions, export),
}

if __name__ == "__main__":
    summary = "Image captioning: an LSTM with attention captions photos, and shows the attention for every word."
    sys.exit(main("python -m examples.image_captioning", summary, COMMANDS))
