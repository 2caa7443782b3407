"""One dataclass, one command line, the same words in all examples.

An example names its verbs and the dataclass that holds each verb's options; flags, their help and their checks follow
from the dataclass. TensorFlow is imported only by the verb that runs, so `--help` answers at once.
"""

import argparse
import errno
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import tyro

from common.errors import Interrupted, UserError
from common.io.terminal import echo, warn

MAX_SEED = 2**32 - 1  # what NumPy and Keras take
MAX_WIDTH = 65_536  # of a layer, a batch, a window: beyond it a number is a slip, or a run is made to take all memory
MAX_STEPS = 10**9


@dataclass(frozen=True, kw_only=True)
class Options:
    """What every verb understands."""

    debug: bool = False
    """Show the whole traceback when something fails, instead of one line."""


@dataclass(frozen=True, kw_only=True)
class TrainOptions(Options):
    """What `train` understands in all examples."""

    EXAMPLE: ClassVar[str] = ""
    DATA_SETS: ClassVar[tuple[str, ...]] = ()  # published ones, by the names that `--data` knows
    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid", "allow_inf_nan": False}  # of stored settings

    # These say where and how a run is carried out, not what comes out of it: they may change when it is resumed.
    RUNTIME: ClassVar[frozenset[str]] = frozenset(
        {"debug", "data_dir", "run_dir", "eager", "max_minutes", "checkpoint_seconds", "fresh"}
    )

    preset: Literal["tiny", "quick", "full"] = "quick"
    """Settings to start from; every other flag changes one of them.
    tiny: embedded data, no network, under a minute.
    quick: the real data on a laptop or in Colab, about ten minutes.
    full: the real data on a GPU, an evening."""
    data: str = "tiny"
    """Data set: a name, tfds:NAME from tensorflow-datasets, or the path of your own."""
    data_dir: Path | None = None
    """Cache for downloads; files already there are used without a connection.
    [default: $EAGER_EXAMPLES_DATA, else the user's cache folder]"""
    run_dir: Path | None = None
    """Where the run is kept; the same command again resumes it. [default: runs/EXAMPLE/PRESET]"""
    epochs: int = 1
    """Passes over the training data."""
    steps_per_epoch: int | None = None
    """Cut every epoch short after so many batches, for a first look."""
    batch_size: int = 64
    """Examples per step; halve it when memory runs out."""
    patience: int | None = None
    """Stop after so many epochs without a better validation loss. [default: train all epochs]"""
    max_minutes: float | None = None
    """Fit training into about so many minutes, instead of all epochs if they take longer: after the first steps it is
    decided where the learning rate comes to its end, and training with it. Where the rate does not decay (dcgan), and
    in a run begun without this, stop after so many minutes, saved and ready to resume."""
    checkpoint_seconds: float = 60.0
    """Save at least this often, so that a kill costs at most this much; a resume is exact wherever it starts."""
    seed: int = 1
    """Decides initial weights, dropout and the order of the data; the same seed gives the same run on one machine."""
    eager: bool = False
    """Run line by line instead of compiled: slower, and print and breakpoints work inside the model."""
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """Arithmetic inside the layers; weights and losses stay float32.
    bfloat16 pays on processors and GPUs that have it, float16 on older GPUs."""
    fresh: bool = False
    """Start again although there is a run; the old one is moved aside, not deleted."""

    def __post_init__(self):
        """Check what the types cannot.

        Raises:
            UserError: a value out of its range.
        """
        require_between(1, MAX_STEPS, self, "epochs", "steps_per_epoch", "patience")
        require_between(1, MAX_WIDTH, self, "batch_size")
        require_between(0, MAX_SEED, self, "seed")
        require_between(0, MAX_STEPS, self, "checkpoint_seconds")
        require_positive(self, "max_minutes")
        require_utf8(self)

    @property
    def run_path(self) -> Path:
        """Where the run is kept."""
        return self.run_dir or Path("runs") / self.EXAMPLE / self.preset

    def settings(self) -> dict[str, Any]:
        """Return what decides the outcome of the run, as JSON values: what config.json keeps and a resume compares."""
        return {name: value for name, value in asdict(self).items() if name not in self.RUNTIME}

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Self:
        """Return the options of a saved run.

        Raises:
            UserError: it has settings that this code does not know, of another type, or out of their range.
        """
        from common.io.records import checked  # here because pydantic takes as long to import as --help does in all

        if runtime := sorted(settings.keys() & cls.RUNTIME):
            raise UserError(f"config.json: settings that no run keeps: {', '.join(runtime)}; restore it from a copy")
        try:
            return checked(cls, settings, "config.json: settings")
        except UserError as error:
            raise error if str(error).startswith("config.json") else UserError(f"config.json: {error}") from error


@dataclass(frozen=True, kw_only=True)
class RunOptions(Options):
    """What every verb that uses a trained model understands."""

    run: Path
    """Run directory that `train` wrote, for instance runs/EXAMPLE/quick."""


@dataclass(frozen=True, kw_only=True)
class OutputOptions(RunOptions):
    """What every verb understands that writes files for the user."""

    out: Path | None = None
    """Folder to write."""
    overwrite: bool = False
    """Replace files in that folder that another command or program has written."""


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(RunOptions):
    """What `evaluate` understands in all examples."""

    data: str | None = None
    """The data that the run was trained on. [default: as in training, if it was you who trained it here, or the data
    set is a published one]"""
    data_dir: Path | None = None
    """Cache for downloads. [default: $EAGER_EXAMPLES_DATA, else the user's cache folder]"""
    write: bool = True
    """Keep what was measured in the run, and draw its report again; --no-write for a run that cannot be written to."""


def require_between(low: float, high: float, options: Any, *names: str) -> None:
    """Raise UserError if one of the named options is set and not from `low` to `high`."""
    _require(lambda value: low <= value <= high, f"{low:,} to {high:,}", options, names)


def require_positive(options: Any, *names: str) -> None:
    """Raise UserError if one of the named options is set and not above 0 and finite."""
    _require(lambda value: 0 < value <= MAX_STEPS, f"more than 0, and at most {MAX_STEPS:,}", options, names)


def require_share(options: Any, *names: str) -> None:
    """Raise UserError if one of the named options is set and not from 0 to below 1."""
    _require(lambda value: 0 <= value < 1, "0 to below 1", options, names)


def require_utf8(options: Any) -> None:
    """Raise UserError if a text among the options cannot be written as UTF-8, as a name of odd bytes cannot."""
    for name, value in asdict(options).items():
        try:
            _ = value.encode() if isinstance(value, str) else b""
        except UnicodeEncodeError as error:
            flag = f"--{name.replace('_', '-')}"
            raise UserError(f"{flag}: {value!r} is no text that can be written as UTF-8; rename it") from error


def _require(holds: Callable[[float], bool], expected: str, options: Any, names: Sequence[str]) -> None:
    for name in names:
        value = getattr(options, name)
        if value is not None and not holds(value):
            raise UserError(f"--{name.replace('_', '-')}: expected {expected}, got {value}")


@dataclass(frozen=True)
class Verb:
    """A subcommand: what it does in one line, the dataclass of its options, and the function that takes them."""

    summary: str
    options: type[Options]
    run: Callable[[Any], None]
    presets: Mapping[str, Options] | None = None
    uses_tensorflow: bool = True


def main(program: str, summary: str, verbs: Mapping[str, Verb], argv: Sequence[str] | None = None) -> int:
    """Parse the command line, run the verb, and return the exit code.

    0 done; 2 something the user can mend, said in one line on stderr; 130 and 143 stopped by SIGINT and SIGTERM;
    141 nobody reads stdout any more.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # a terminal that cannot show é is no reason to stop
    try:
        _dispatch(program, summary, verbs, arguments)
        sys.stdout.flush()
    except Interrupted as error:
        warn(f"stopped by {error}")
        return 128 + error.signum
    except KeyboardInterrupt:
        warn("stopped by SIGINT")
        return 128 + signal.SIGINT
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that the flush at exit finds a reader
        return 128 + signal.SIGPIPE
    except Exception as error:
        if "--debug" in arguments or not (message := _explain(error)):
            raise
        warn(f"error: {message}")
        return 2
    return 0


def _explain(error: Exception) -> str:
    """Return what the user can do something about in one line, "" if it is a bug."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError":  # TensorFlow's
        return "memory ran out; use a smaller --batch-size, with --fresh if a run has begun, or a smaller model"
    if isinstance(error, OSError) and error.errno and error.filename is not None:
        advice = _ADVICE.get(error.errno, "check the path and its permissions")
        return f"{os.fsdecode(error.filename)}: {error.strerror}; {advice}"
    return ""


_ADVICE = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), "free some space and give the same command again"),
    errno.EROFS: "it is read-only: `evaluate` takes --no-write, other commands another folder with --out or --run-dir",
    errno.EACCES: "you may not write or read there: change its permissions, or name another folder",
    errno.ENAMETOOLONG: "use a shorter name",
}


def _dispatch(program: str, summary: str, verbs: Mapping[str, Verb], arguments: list[str]) -> None:
    if not arguments or arguments[0] in ("-h", "--help"):
        echo(_overview(program, summary, verbs))
        return
    if arguments[0] not in verbs:
        known = ", ".join(verbs)
        raise UserError(f"unknown command {arguments[0]!r}; known are {known} (see {program} --help)")
    verb = verbs[arguments[0]]
    preset = _preset(arguments, verb.presets) if verb.presets else None
    options = tyro.cli(verb.options, prog=f"{program} {arguments[0]}", args=arguments[1:], default=preset)
    if verb.uses_tensorflow and not options.debug:
        import_tensorflow_quietly()
    verb.run(options)


def import_tensorflow_quietly() -> None:
    """Import TensorFlow without its dozen lines about missing GPUs and processor features, which hide what matters.

    Its C++ code writes some of them to file descriptor 2 before it reads any setting, so the descriptor is turned away
    for that moment; if the import fails, they are shown.
    """
    if "TF_CPP_MIN_LOG_LEVEL" in os.environ:
        return  # the user has said what to show
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as notes:
        os.dup2(notes.fileno(), 2)
        try:
            import tensorflow as tf

            tf.config.list_logical_devices()
        except Exception:
            notes.seek(0)
            os.write(stderr, notes.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            del os.environ["TF_CPP_MIN_LOG_LEVEL"]  # read by now, and not for processes that this one starts


def _preset(arguments: Sequence[str], presets: Mapping[str, Options]) -> Options:
    """Find --preset before the real parse, because it decides the defaults of all other flags."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--preset")
    name = parser.parse_known_args(arguments)[0].preset
    return presets.get(name) or next(iter(presets.values()))  # an unknown name is reported by the real parse


def _overview(program: str, summary: str, verbs: Mapping[str, Verb]) -> str:
    width = max(map(len, verbs))
    lines = [f"{name:<{width}}  {verb.summary}" for name, verb in verbs.items()]
    usage = f"usage: {program} {{{'|'.join(verbs)}}} [options]"
    return "\n".join([usage, "", summary, "", *lines, "", f"{program} VERB --help explains the options of each."])
