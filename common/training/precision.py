"""The precision of training: what was asked for, what an existing run has, or what suits the hardware."""

from pathlib import Path

import tensorflow as tf

from common.io.terminal import echo, warn
from common.training.hardware import fast_precision
from common.training.run_directory import RunDirectory


def resolve_precision(requested: str, run_path: Path, fresh: bool) -> str:
    """Return the precision to train with: "float32", "bfloat16" or "float16".

    "auto" requests that of the existing run unless it is moved aside (`fresh`), else the one that suits the hardware.
    """
    run = RunDirectory(run_path)
    if requested == "auto" and run.config.exists() and not fresh:
        stored = run.read_config().settings.get("precision")
        requested = stored if stored in ("float32", "bfloat16", "float16") else "auto"
    suited = fast_precision()
    if requested == "auto":
        echo(f"precision: {suited.name}, because {suited.reason}")
        return suited.name
    if requested == "bfloat16" and suited.name != "bfloat16":
        warn(f"warning: bfloat16 is slower than float32 here, because {suited.reason}")
    if requested == "float16" and not tf.config.get_visible_devices("GPU"):
        warn("warning: float16 is slower than float32 on a processor; it is for GPUs without bfloat16")
    return requested
