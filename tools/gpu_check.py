"""Train the presets on this machine's GPU and compare them with a processor: python -m tools.gpu_check --out checked

For each example, preset and precision: does training end with finite losses, is the metric of `evaluate` at most
1 % worse than on a processor (of `quick`), how many minutes does training take, and how many steps a second does the
last epoch make, when everything is compiled (with validation; empty if there was one epoch)? Writes
`gpu_check.md` and `gpu_check.json` after every run; the same command goes on where it was stopped.
"""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from common.training.hardware import describe_hardware
from common.training.run_directory import RunDirectory

Example = Literal["text_generation", "dcgan", "nmt_attention", "image_captioning"]


@dataclass(frozen=True)
class Reference:
    """A metric of `evaluate` and its value on a processor (docs/results)."""

    metric: tuple[str, ...]
    value: float
    is_loss: bool
    """whether a lower value is better"""


REFERENCES: dict[str, Reference] = {  # of the quick presets
    "text_generation": Reference(("nats_per_char",), 1.419, True),
    "dcgan": Reference(("frechet_distance",), 2.84, True),
    "nmt_attention": Reference(("beam", "bleu"), 52.9, False),
    "image_captioning": Reference(("beam", "cider"), 0.496, False),
}
TOLERANCE = 0.01


def check(example: str, preset: str, precision: str, out: Path, flags: Sequence[str]) -> dict[str, str]:
    """Train and evaluate in a folder of `out`; return a row of the table."""
    run = RunDirectory(out / f"{example}-{preset}-{precision}")
    train = ["train", "--preset", preset, "--precision", precision, "--run-dir", str(run.path), *flags]
    error = _command(example, train) or _command(example, ["evaluate", "--run", str(run.path), *_data_flags(flags)])
    row = {"example": example, "preset": preset, "precision": precision}
    rows = run.read_metrics()
    if rows:
        row |= {"minutes": f"{rows[-1]['seconds'] / 60:.1f}", "steps": f"{rows[-1]['step']:.0f}"}
        row |= {"steps a second": steps_a_second(rows)}
    return row | {"metric": "", "result": error} if error else row | judge(example, preset, run)


def steps_a_second(rows: Sequence[dict[str, float]]) -> str:
    """Return the speed of the last epoch in `rows` of metrics.csv, validation included; "" if there is one epoch."""
    if len(rows) < 2:
        return ""  # XLA compiled in it
    steps, seconds = (rows[-1][name] - rows[-2][name] for name in ("step", "seconds"))
    return f"{steps / seconds:.1f}"


def judge(example: str, preset: str, run: RunDirectory) -> dict[str, str]:
    """Return the metric of an evaluated run, and whether it is at most 1 % worse than the reference."""
    reference = REFERENCES[example]
    value = run.read_evaluation().metrics
    for name in reference.metric:
        value = value[name]
    metric = f"{' '.join(reference.metric)} {value:.4g}"
    if preset != "quick":
        return {"metric": metric, "result": "finite; no reference"}
    worse = (value - reference.value) / reference.value * (1 if reference.is_loss else -1)
    result = "as on a processor" if worse <= TOLERANCE else f"{worse:.1%} worse than on a processor"
    return {"metric": f"{metric} (processor {reference.value:.4g})", "result": result}


def _data_flags(flags: Sequence[str]) -> list[str]:
    """Return --data-dir and its value, the only flag of `train` that `evaluate` needs as well."""
    return [
        flag for name, value in zip(flags, flags[1:], strict=False) if name == "--data-dir" for flag in (name, value)
    ]


def _command(example: str, arguments: Sequence[str]) -> str:
    """Run a command of an example; return the last line that it printed if it failed, else ""."""
    done = subprocess.run([sys.executable, "-m", f"examples.{example}", *arguments], stderr=subprocess.PIPE, text=True)
    return (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1] if done.returncode else ""


def write_table(rows: Sequence[dict[str, str]], out: Path) -> None:
    """Write the rows as Markdown and JSON."""
    header = list(dict.fromkeys(name for row in rows for name in row))
    lines = [header, ["---"] * len(header), *([row.get(name, "") for name in header] for row in rows)]
    machine = ", ".join(f"{name} {value}" for name, value in describe_hardware().items())
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    (out / "gpu_check.md").write_text(f"{time.strftime('%Y-%m-%d')}, {machine}\n\n{table}\n", encoding="utf-8")
    (out / "gpu_check.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def main(
    out: Path,
    only: tuple[Example, ...] = ("text_generation", "dcgan", "nmt_attention", "image_captioning"),
    presets: tuple[Literal["tiny", "quick", "full"], ...] = ("quick", "full"),
    precisions: tuple[Literal["float32", "bfloat16", "float16"], ...] = ("float32", "bfloat16"),
    max_minutes: float | None = None,
    data_dir: Path | None = None,
    encoder_weights: str | None = None,
    devices: str = "gpu",
) -> int:
    """Check the presets, write the table, and return 1 if one of them failed or is worse than on a processor.

    Args:
        out: the folder of the runs and of the table.
        only: the examples.
        presets: the presets.
        precisions: the precisions.
        max_minutes: of each training; all epochs if it is not given.
        data_dir: the download cache.
        encoder_weights: of image captioning, as its flag of this name.
        devices: as the flag of `train`.
    """
    out.mkdir(parents=True, exist_ok=True)
    flags = ["--devices", devices]
    flags += ["--max-minutes", str(max_minutes)] if max_minutes else []
    flags += ["--data-dir", str(data_dir)] if data_dir else []
    rows: list[dict[str, str]] = []
    for preset in presets:
        for example in only:
            for precision in precisions:
                weights = (
                    ["--encoder-weights", encoder_weights] if encoder_weights and example == "image_captioning" else []
                )
                rows.append(check(example, preset, precision, out, [*flags, *weights]))
                print(rows[-1], flush=True)
                write_table(rows, out)
    print((out / "gpu_check.md").read_text(encoding="utf-8"))
    return int(not all(row["result"] in ("as on a processor", "finite; no reference") for row in rows))


if __name__ == "__main__":
    sys.exit(tyro.cli(main))
