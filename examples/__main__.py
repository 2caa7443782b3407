"""python -m examples: list the examples; ... demo: run all on embedded data; ... serve: play with them."""

import subprocess
import sys
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from common.app import report
from common.app.cli import Command, Options, OrNone, main
from common.app.intervals import Count
from common.errors import UserError
from common.io.terminal import echo
from common.training.run_directory import RunDirectory
from examples.serve.options import ServeOptions, serve

_FOLDER = Path(__file__).parent
_SHOWPIECES = {  # of all that the examples draw
    "training.gif": "Outputs for the same input, from epoch to epoch",
    "loss_heatmap.png": "Each character of a validation passage shaded by its negative log-likelihood",
    "samples.png": "Images generated from random latents",
    "attention_1.png": "Attention: the weight of each source word (columns) for each word of the translation (rows)",
    "caption_1.png": "Attention over the image for each word of the caption",
}
_HEADLINES = (  # of all that is measured; the reports have the rest, and the rules
    "nats per char", "frechet distance", "frechet floor", "classes covered", "beam bleu", "alignment", "beam cider",
    "exact match", "pointing",
)  # fmt: skip


def example_names() -> list[str]:
    """Return the packages beside this file that have a command line."""
    return sorted(path.parent.name for path in _FOLDER.glob("*/__main__.py"))


def describe(name: str) -> str:
    """Return the first line of an example's docstring."""
    return (import_module(f"examples.{name}").__doc__ or name).strip().splitlines()[0]


@dataclass(frozen=True, kw_only=True)
class DemoOptions(Options):
    """Train every example on its embedded data, use it, measure it, and gather what came out on one page.

    No network; a minute or so for each example.
    """

    out: Path = Path("demo")
    """Folder to write; index.html in it leads to everything."""
    steps_per_epoch: OrNone[Count] = None
    """Cut every epoch short after so many batches: sooner done, and worse pictures."""


def demo(options: DemoOptions) -> None:
    """Run all examples and write the index.

    Raises:
        UserError: an example failed; or an index.html that is no demo's is in the way.
    """
    if not report.is_free_for_page(options.out / "index.html"):
        raise UserError(
            f"{options.out / 'index.html'}: there already, and not of a demo; name another folder with --out"
        )
    shorter = ["--steps-per-epoch", str(options.steps_per_epoch)] if options.steps_per_epoch else []
    for name in example_names():
        echo(f"\n=== {name} ===")
        run = str(options.out / name)
        train = ["train", "--preset", "tiny", "--run-dir", run, "--fresh", *shorter]
        for verb, *flags in (train, ["evaluate", "--run", run]):
            command = [sys.executable, "-m", f"examples.{name}", verb, *flags]
            if subprocess.run(command).returncode:
                raise UserError(f"{name}: {verb} failed, see above; the index was not written")
    echo(f"\nopen {write_index(options.out)}")


def write_index(folder: Path) -> Path:
    """Write `index.html` over the runs in `folder` and return its path."""
    sections = []
    for name in example_names():
        run = RunDirectory(folder / name)
        measured = report.section_on_evaluation(run)
        heading, _, text = describe(name).partition(": ")
        sections.append(
            report.Section(
                heading,
                f"{text[:1].upper()}{text[1:]} {report.summary_line(run)}",
                table=[row for row in measured.table if row[0] in _HEADLINES] if measured else (),
                pictures=report.figures(run, _SHOWPIECES),
                links=[("the whole report, with all figures and how they were measured", f"{name}/report.html")],
            )
        )
    lead = (
        "What each example makes of data that the code makes or carries, in a minute or so, without a network: "
        "python -m examples demo. Real data takes five to twenty minutes, and the pictures are better."
    )
    return report.write_page(folder / "index.html", "Eager examples", lead, sections)


COMMANDS = {
    "demo": Command("run all examples on embedded data, no network", DemoOptions, demo, uses_tensorflow=False),
    "serve": Command("a page to play with trained models in, and a JSON API", ServeOptions, serve),
}

if __name__ == "__main__":
    listing = "\n".join(f"- python -m examples.{name}: {describe(name).partition(': ')[2]}" for name in example_names())
    sys.exit(main("python -m examples", f"Generative and sequence models, trained eagerly:\n\n{listing}", COMMANDS))
