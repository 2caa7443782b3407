"""The command line: python -m examples.image_captioning {train|caption|evaluate|export}."""

import json
import sys

from common.cli import Verb, main
from examples.image_captioning.config import PRESETS, CaptionOptions, Config, EvaluateOptions, ExportOptions

# TensorFlow is imported by the verbs, not here, so that --help answers at once.


def train(config: Config) -> None:
    """Train or resume, and write the report."""
    from examples.image_captioning.report import write_report
    from examples.image_captioning.train import train

    run = train(config)
    page = write_report(run)
    print(f"report: {page}\nnow try: python -m examples.image_captioning caption --run {run.path} PHOTO.jpg")


def caption(options: CaptionOptions) -> None:
    """Print a caption for each photo, and draw its attention.

    Raises:
        UserError: a photo cannot be read; the others have their captions by then.
    """
    from common.errors import UserError
    from common.run import Run
    from common.text import printable
    from examples.image_captioning.demo import PhotoCaptioner, Search, find_photos
    from examples.image_captioning.pictures import draw_caption

    run = Run.open(options.run, Config.EXAMPLE)
    captioner, search = PhotoCaptioner.load(run), Search(options.beam, options.length_penalty)
    failures = []
    for path in find_photos(options.photos):
        try:
            image, described = captioner.caption_file(path, search)
        except UserError as error:
            failures.append(str(error))
            continue
        drawn = [] if options.json else draw_caption(image, described, options.out or run.path / "captions", path.stem)
        if options.json:
            print(json.dumps({"photo": str(path), **described.as_json()}), flush=True)
        else:
            print(printable(f"{path}: {described.text}  ({', '.join(map(str, drawn))})"), flush=True)
    if failures:
        raise UserError(f"{len(failures)} of the photos cannot be read: " + "; ".join(failures))


def evaluate(options: EvaluateOptions) -> None:
    """Measure, and refresh the report."""
    from common.report import flat, readable
    from common.run import Run
    from examples.image_captioning.evaluate import evaluate
    from examples.image_captioning.report import write_report

    run = Run.open(options.run, Config.EXAMPLE)
    metrics = evaluate(run, options.split, options.data, options.data_dir, options.features_dir, options.boxes)
    for name, value in flat(metrics).items():
        print(f"{name:<20} {readable(value)}")
    print(f"written: {run.evaluation}, {write_report(run)}")


def export(options: ExportOptions) -> None:
    """Write a SavedModel and say where."""
    from common.run import Run
    from examples.image_captioning.demo import PhotoCaptioner
    from examples.image_captioning.export import export

    run = Run.open(options.run, Config.EXAMPLE)
    folder = export(PhotoCaptioner.load(run), options.out or run.path / "saved_model")
    print(f"written: {folder}")


VERBS = {
    "train": Verb("train or resume a model", Config, train, PRESETS),
    "caption": Verb("describe photos with a trained model", CaptionOptions, caption),
    "evaluate": Verb("measure a trained model on photos held out", EvaluateOptions, evaluate),
    "export": Verb("write a SavedModel, photo in, caption and attention out", ExportOptions, export),
}

if __name__ == "__main__":
    summary = "Image captioning: describes a photo in a sentence, and shows where it looks for every word."
    sys.exit(main("python -m examples.image_captioning", summary, VERBS))
