"""What all benchmarks share: ways of doing the same, side by side in one process, and a table of what came out.

Other work on a machine slows a measurement by anything up to a factor of ten. So the ways take turns, and what counts
are ratios between times of the same turn.
"""

import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import keras
import tensorflow as tf

from common.training.hardware import describe_hardware
from common.training.run_directory import RunDirectory

RESULTS = Path(__file__).parent / "results"


@dataclass
class Table:
    """A finding: what was done, and a row of figures for each way of doing it."""

    title: str
    rule: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    goals: Sequence[Sequence[str]] = ()  # what, measured, wanted, and whether it is reached; see `goal`
    figure: str = ""  # file name of a picture beside RESULTS.md
    measured: str = field(default_factory=lambda: f"{time.strftime('%Y-%m-%d')}, {machine()}")

    def markdown(self) -> str:
        """Return title, rule, table, figure, and what it was measured on."""
        lines = [f"## {self.title}", "", self.rule, ""]
        lines += ["| " + " | ".join(row) + " |" for row in (self.header, ["---"] * len(self.header), *self.rows)]
        lines += ["", f"![{self.title}]({self.figure})"] if self.figure else []
        return "\n".join([*lines, "", f"*{self.measured}*", ""])

    def save(self, part: str = "") -> None:
        """Print the table, and keep it as `results/PART.json`, by default named after the module that runs."""
        part = part or Path(sys.modules["__main__"].__file__).stem
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{part}.json").write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")
        print(self.markdown())


def goal(what: str, measured: float, least: float | None = None, most: float | None = None, form: str = ",.0f"):
    """Return a goal of a table: what, measured, wanted, and whether it is reached."""
    wanted = f"at least {least:{form}}" if least is not None else f"at most {most:{form}}"
    is_reached = measured >= least if least is not None else measured <= most
    return what, f"{measured:{form}}", wanted, "yes" if is_reached else "no"


def rates(seconds: Mapping[str, Sequence[float]], counts: Mapping[str, float]) -> dict[str, float]:
    """Return for each way how many a second it does, the median over its turns."""
    return {name: counts[name] / statistics.median(times) for name, times in seconds.items()}


def alternate(ways: Mapping[str, Callable[[], object]], turns: int = 20) -> dict[str, list[float]]:
    """Return the seconds that each way took in each of so many turns; before them each runs once, to compile."""
    for way in ways.values():
        way()
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(turns):
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - started)
    return seconds


def ratio(seconds: Sequence[float], others: Sequence[float]) -> float:
    """Return how many times as fast the first is as the second: the median over turns."""
    return statistics.median(other / mine for mine, other in zip(seconds, others, strict=True))


def seconds_of_epoch(
    example: str, folder: Path, steps: int, flags: Sequence[str], environments: Sequence[Mapping[str, str]]
) -> float:
    """Train two epochs of `steps` steps by the command line; return the seconds of the second, validation included.

    Args:
        example: the name of the example.
        folder: for the run, which is started afresh.
        steps: of an epoch.
        flags: of `train`.
        environments: the variables of each of the processes that train together.
    """
    run = RunDirectory(folder / example)
    command = [sys.executable, "-m", f"examples.{example}", "train", "--epochs", "2", "--steps-per-epoch", str(steps)]
    command += [*flags, "--run-dir", str(run.path), "--fresh"]
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    processes = [subprocess.Popen(command, env=environment, **silent) for environment in environments]
    if any([process.wait() for process in processes]):
        raise SystemExit(f"failed: {' '.join(command)}")
    first, second = run.read_metrics()
    return second["seconds"] - first["seconds"]


def product(dtype: tf.DType | str, rows: int = 6400, inner: int = 1024, columns: int = 3072) -> tuple[Callable, float]:
    """Return a matrix multiplication, and its billions of floating-point operations: the limit that others approach."""
    a, b = tf.cast(tf.random.normal([rows, inner]), dtype), tf.cast(tf.random.normal([inner, columns]), dtype)
    return lambda: tf.matmul(a, b), 2e-9 * rows * inner * columns


def machine() -> str:
    """Return the machine in one line: processor, cores in use, memory, versions."""
    hardware = describe_hardware()
    gpus = f", {hardware['gpus']}" if "gpus" in hardware else ""
    return (
        f"{cores(hardware)} of {hardware['processor']} ({hardware.get('features', '')}){gpus}, "
        f"{hardware.get('memory', '?')}, load {os.getloadavg()[0]:.1f}; Python {platform.python_version()}, "
        f"TensorFlow {tf.__version__}, Keras {keras.__version__}"
    )


def cores(hardware: Mapping[str, str]) -> str:
    """Return "1 core" or "2 cores" of a description of the hardware."""
    return f"{hardware['cores']} core{'' if hardware['cores'] == '1' else 's'}"


def peak_memory(module: str, way: str) -> float:
    """Return the largest resident size in MiB of a process that runs twice what `module.ways()` calls `way`."""
    code = f"from {module} import ways; from benchmarks.measure import run_twice; run_twice(ways, {way!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def run_twice(ways: Callable[[], Mapping[str, Callable[[], object]]], way: str) -> None:
    """Run one way twice in this process, and print the process's largest resident size in MiB, as Linux knows it."""
    chosen = ways(way)[way]
    chosen(), chosen()
    print(int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))[1]) / 1024)
