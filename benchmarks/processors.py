"""The quick presets on this processor, and as on one with AVX2 only, in turns.

python -m benchmarks.processors --data-dir DIR

oneDNN, which multiplies for TensorFlow, leaves out AVX-512 and bfloat16 if ONEDNN_MAX_CPU_ISA=AVX2; --precision auto
then chooses float32, as on such a processor.
"""

import os
import statistics
import tempfile
from pathlib import Path

import tyro

from benchmarks.measure import Table, seconds_of_epoch

KINDS = {"this processor": {}, "AVX2 only": {"ONEDNN_MAX_CPU_ISA": "AVX2"}}
STEPS = {"text_generation": 60, "dcgan": 300, "nmt_attention": 60, "image_captioning": 60}


def main(
    data_dir: Path | None = None,
    encoder_weights: str = "imagenet",
    turns: int = 2,
) -> None:
    """Measure in turns and save the table.

    Args:
        data_dir: the download cache.
        encoder_weights: of the captioner.
        turns: how often each is measured.
    """
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for example, steps in STEPS.items():
            flags = ["--data-dir", str(data_dir)] if data_dir else []
            flags += ["--encoder-weights", encoder_weights] if example == "image_captioning" else []
            seconds: dict[str, list[float]] = {kind: [] for kind in KINDS}
            for _ in range(turns):
                for kind in KINDS:
                    environment = os.environ | KINDS[kind]
                    seconds[kind].append(seconds_of_epoch(example, Path(folder), steps, flags, [environment]))
            here, other = (statistics.median(seconds[kind]) for kind in KINDS)
            ratio = statistics.median(b / a for a, b in zip(*seconds.values(), strict=True))
            rows.append([example, str(steps), f"{here:.1f}", f"{other:.1f}", f"{ratio:.2f}"])
            print(rows[-1], flush=True)
    Table(
        "The quick presets with and without AVX-512",
        f"Seconds of an epoch of so many steps, validation included; the second of two, median of {turns} turns. On "
        "this processor --precision auto chooses bfloat16 if it has avx512_bf16, with AVX2 only float32.",
        ["example", "steps", *KINDS, "ratio"],
        rows,
    ).save()


if __name__ == "__main__":
    tyro.cli(main)
