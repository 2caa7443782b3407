"""The command line, the same in all examples.

An example defines its commands, each with a dataclass of options. Flags, their help and their checks are derived from
the dataclass. Only the command that runs imports TensorFlow, so `--help` is fast.
"""

import argparse
import contextlib
import errno
import os
import re
import signal
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Optional, Self, TypeVar

import tyro

from common.app.help import PARSER_CONFIG, command_help, plain_output, with_help_texts, wrap
from common.app.intervals import Count, NotNegative, Positive, Seed, Width, require_inside_intervals
from common.app.start import start_tensorflow, train_on_devices
from common.errors import Interrupted, UserError
from common.io.terminal import echo, warn

if TYPE_CHECKING:
    from common.training.run_directory import RunDirectory

DEVICES = re.compile(r"auto|cpu(:[1-9]\d?)?|gpu(:\d{1,2}(,\d{1,2})*)?")

T = TypeVar("T")
OrNone = Optional[T]  # noqa: UP045 (for `T | None`, tyro would import typeguard, and --help take half as long again)


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of every command."""

    debug: bool = False
    """Show the whole traceback of an error instead of one line."""

    def __post_init__(self):
        require_inside_intervals(self)
        require_encoding(getattr(self, "encoding", None))
        for name in ("data", "test_data", "init_from", "reference", "prompt"):
            value = getattr(self, name, None)
            if value == "":  # as of a variable of the shell that is not set; as a path it would be the current folder
                raise UserError(f"--{name.replace('_', '-')}: expected a value, got none")
            if isinstance(value, os.PathLike):  # in a notebook
                object.__setattr__(self, name, os.fspath(value))


@dataclass(frozen=True, kw_only=True)
class TrainOptions(Options):
    """The options of `train` in all examples."""

    EXAMPLE: ClassVar[str] = ""
    DATA_SETS: ClassVar[tuple[str, ...]] = ()  # the names of the built-in data sets, for `--data`
    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid", "allow_inf_nan": False}  # for stored settings

    # Settings that may be fitted to the user's data.
    ADAPTABLE: ClassVar[tuple[str, ...]] = ("epochs", "batch_size", "steps_per_epoch")
    INHERITED: ClassVar[tuple[str, ...]] = ()  # the architecture, which --init-from takes over

    # Options that do not change the result of a run; they may differ when it is resumed.
    RUNTIME: ClassVar[frozenset[str]] = frozenset({
        "debug", "data_dir", "run_dir", "eager", "xla", "devices", "max_minutes", "checkpoint_seconds", "fresh",
        "adaptable",
    })  # fmt: skip

    preset: Literal["tiny", "quick", "full"] = "quick"
    """The settings to start from; every other flag changes one of them.
    tiny: embedded data, no network, up to a minute.
    quick: the real data on a laptop or in Colab, five to twenty minutes.
    full: the real data, larger models or more epochs: a quarter of an hour to an hour and three quarters."""
    data: str = "tiny"
    """The data set: a name, tfds:NAME from tensorflow-datasets, or a path to your own."""
    data_dir: OrNone[Path] = None
    """The cache for downloads; cached files need no connection.
    [default: $EAGER_EXAMPLES_DATA, else the user's cache folder]"""
    run_dir: OrNone[Path] = None
    """The run directory. The same command again resumes the run; with more --epochs it extends a finished run.
    [default: runs/EXAMPLE/PRESET]"""
    init_from: OrNone[str] = None
    """Run directory whose best weights are the initial ones, for fine-tuning on other data. The architecture is taken
    from there; a vocabulary may differ."""
    epochs: Count = 1
    """Number of passes over the training data."""
    steps_per_epoch: OrNone[Count] = None
    """Maximum number of batches per epoch, for a first try."""
    batch_size: Width = 64
    """Number of examples per step; halve it when memory runs out."""
    patience: OrNone[Count] = None
    """Stop after this number of epochs without a better validation loss. [default: train all epochs]"""
    max_minutes: OrNone[Positive] = None
    """Time budget in minutes. The first steps are measured; training and the learning-rate schedule end after the
    number of steps that fit, at most all epochs. If the rate does not decay (dcgan), or the run was started without
    this flag, training saves and stops after this time, ready to resume."""
    checkpoint_seconds: NotNegative = 60.0
    """Longest time between checkpoints, and so the most that a kill can cost; every resume is exact."""
    seed: Seed = 1
    """Seed of the initial weights, dropout and the order of the data; on one machine, equal seeds give equal runs."""
    eager: bool = False
    """Run line by line instead of compiled: slower, but print and breakpoints work inside the model."""
    xla: OrNone[bool] = None
    """Compile the training step with XLA, on a single device. A GPU then need not start thousands of small operations
    one by one; compiling takes about a minute for each shape. Without this flag, it is compiled on a GPU, but not with
    --preset tiny."""
    devices: str = "auto"
    """Where to train. auto: the first GPU, else the processor; cpu; gpu: all GPUs; gpu:0,1: these; cpu:2: the processor
    as two devices, for tests. Each device has an equal part of every batch. Several machines: set TF_CONFIG, see
    docs/scaling.md."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Arithmetic of the layers; weights and losses stay float32.
    auto: bfloat16 where the processor (avx512_bf16, amx_bf16) or the GPU (compute capability 8 and later) multiplies it
    faster, else float32. float16 is for older GPUs, with loss scaling."""
    fresh: bool = False
    """Start again even if there is a run; the old one is moved aside, not deleted."""
    adaptable: tyro.conf.Suppress[tuple[str, ...]] = ()
    """Settings that no flag sets: those of `ADAPTABLE` are fitted to the user's own data, those of `INHERITED` come
    from the run in --init-from."""

    def __post_init__(self):
        super().__post_init__()
        if not DEVICES.fullmatch(self.devices):
            raise UserError(f"--devices: expected auto, cpu, cpu:N, gpu or gpu:I,J, got {self.devices}")
        for name, value in asdict(self).items():
            if isinstance(value, str) and value != value.encode(errors="ignore").decode():  # undecodable bytes
                flag = f"--{name.replace('_', '-')}"
                raise UserError(f"{flag}: {value!r} cannot be encoded as UTF-8; rename the file")

    @property
    def run_path(self) -> Path:
        """The run directory."""
        return Path(self.run_dir) if self.run_dir else Path("runs") / self.EXAMPLE / self.preset

    def with_data(self, data: str, **settings: Any) -> Self:
        """Return these options with other data and `settings`; what these leave open is fitted to the data."""
        options = replace(self, data=data, **settings)
        return replace(options, adaptable=options.open_settings(settings))

    def open_settings(self, chosen: Collection[str]) -> tuple[str, ...]:
        """Return the settings not `chosen` that the user's data, or the run in --init-from, may decide."""
        names = self.ADAPTABLE if self.data not in self.DATA_SETS else ()
        return tuple(name for name in (*names, *(self.INHERITED if self.init_from else ())) if name not in chosen)

    def with_precision(self) -> Self:
        """Return these options with the precision that "auto" chooses here; an existing run keeps its own."""
        from common.training.precision import resolve_precision

        return replace(self, precision=resolve_precision(self.precision, self.run_path, self.fresh))

    def start_run(self, fingerprint: Mapping[str, Any]) -> "RunDirectory":
        """Create the run directory, or open it to resume; see `RunDirectory.start`, where `fingerprint` is `data`."""
        from common.io.records import checked  # here because of pydantic, see below
        from common.training.run_directory import RunDirectory

        settings = self.settings()
        # What no command could read again is not trained.
        checked(type(self), settings, "settings", "change it, or its type in config.py")
        return RunDirectory.start(self.run_path, self.EXAMPLE, settings, fingerprint, self.fresh, self.defaults())

    def defaults(self) -> dict[str, Any]:
        """Return the defaults of the settings, which runs of earlier versions may lack."""
        return {option.name: option.default for option in fields(self) if option.name not in self.RUNTIME}

    def loop_settings(self) -> dict[str, Any]:
        """Return the settings that are arguments of `Trainer` by the same name."""
        names = ("epochs", "steps_per_epoch", "patience", "eager", "xla", "max_minutes", "checkpoint_seconds")
        return {name: getattr(self, name) for name in names}

    def settings(self) -> dict[str, Any]:
        """Return the settings that determine the result, as JSON values, for config.json."""
        return {name: value for name, value in asdict(self).items() if name not in self.RUNTIME}

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Self:
        """Return the options of a saved run.

        Raises:
            UserError: a setting is unknown, of another type, or out of its range.
        """
        from common.io.records import checked  # here because importing pydantic would double the time of --help

        if runtime := sorted(settings.keys() & cls.RUNTIME):
            raise UserError(f"config.json: expected no {', '.join(runtime)} among the settings; restore it from a copy")
        if settings.get("precision") == "auto":
            raise UserError(
                "config.json: precision: expected the one that was chosen, got auto; restore it from a copy"
            )
        try:
            return checked(cls, settings, "config.json: settings")
        except UserError as error:
            raise error if str(error).startswith("config.json") else UserError(f"config.json: {error}") from error


@dataclass(frozen=True, kw_only=True)
class RunOptions(Options):
    """The options of every command that uses a trained model."""

    run: Path
    """The run directory of `train`, for instance runs/EXAMPLE/quick."""


@dataclass(frozen=True, kw_only=True)
class OutputOptions(RunOptions):
    """The options of every command that writes files for the user."""

    out: OrNone[Path] = None
    """The output folder."""
    overwrite: bool = False
    """Replace files of other commands or programs in the output folder."""


@dataclass(frozen=True, kw_only=True)
class ExportOptions(OutputOptions):
    """Write the trained model as a SavedModel, which runs without this code, by default to RUN/saved_model."""


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(RunOptions):
    """The options of `evaluate` in all examples."""

    data: OrNone[str] = None
    """The training data of the run. [default: as in training, if you trained the run on this machine or the data set
    is built in]"""
    test_data: OrNone[str] = None
    """Other data, of any kind that `train --data` takes: measure on all of it, or on the test part if it has one,
    in place of held-out training data. The metrics go to RUN/evaluation_test_data.json."""
    data_dir: OrNone[Path] = None
    """The cache for downloads. [default: $EAGER_EXAMPLES_DATA, else the user's cache folder]"""
    write: bool = True
    """Write the metrics to the run directory and update its report; --no-write for a read-only run."""

    def for_test_data(self, config: Any) -> Any:
        """Return the settings of the run, with what these options say about how to read --test-data."""
        options = {name: getattr(self, name, None) for name in ("columns", "encoding", "max_skipped")}
        return replace(config, **{name: value for name, value in options.items() if value is not None})


def require_encoding(name: str | None) -> None:
    """Raise UserError if `name` is set and no encoding of texts that Python knows."""
    try:
        b"a".decode(name or "utf-8", "ignore")
    except (LookupError, ValueError) as error:
        raise UserError(
            f"--encoding: unknown encoding {name!r}; use a name such as cp1252, gb18030, shift_jis, euc_kr, koi8_r"
        ) from error


@dataclass(frozen=True)
class Command:
    """A subcommand: its one-line summary, the dataclass of its options, and the function that runs it."""

    summary: str
    options: type[Options]
    run: Callable[[Any], None]
    presets: Mapping[str, Options] | None = None
    uses_tensorflow: bool = True


def main(program: str, summary: str, commands: Mapping[str, Command], argv: Sequence[str] | None = None) -> int:
    """Parse the command line, run the command, and return the exit code.

    0: success. 2: an error that the user can fix, in one line on stderr. 129, 130, 143: stopped by SIGHUP, SIGINT or
    SIGTERM. 141: stdout was closed.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    sys.stdin = sys.stdin or open(os.devnull)  # noqa: SIM115
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the shell
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
        getattr(sys, name).reconfigure(errors="backslashreplace")  # else é would be an error in a terminal without it
    try:
        _dispatch(program, summary, commands, arguments)
        sys.stdout.flush()
    except Interrupted as error:
        warn(f"stopped by {error}")
        return 128 + error.signum
    except KeyboardInterrupt:
        warn("stopped by SIGINT")
        return 128 + signal.SIGINT
    except BrokenPipeError:
        _flush_or_discard()
        return 128 + signal.SIGPIPE
    except Exception as error:
        if "--debug" in arguments or not (message := _explain(error)):
            raise
        _flush_or_discard()
        warn(f"error: {message}")
        return 2
    return 0


def _explain(error: Exception) -> str:
    """Return a one-line message for an error that the user can fix, "" for a bug."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError":  # TensorFlow's
        return "out of memory; use a smaller --batch-size, with --fresh if there is a run, or a smaller model"
    if isinstance(error, OSError) and error.filename is None and error.errno in _ADVICE:  # of an open file, or stdout
        return f"{error.strerror}; {_ADVICE[error.errno]}"
    if isinstance(error, OSError) and error.errno and error.filename is not None:
        advice = _ADVICE.get(error.errno, "check the path and its permissions")
        return f"{os.fsdecode(error.filename)}: {error.strerror}; {advice}"
    if type(error).__name__ == "UnknownError":  # TensorFlow's, of an error in a function that loads a batch
        loading = re.search(r"\bUserError: (.+)", str(error))
        return loading[1] if loading else ""
    return ""


def _flush_or_discard() -> None:
    """Write what stdout holds, or discard it if that fails; else the flush at exit would fail with a traceback."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


_ADVICE = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), "free some space and give the same command again"),
    errno.EROFS: "it is read-only: use --no-write with `evaluate`, else another folder with --out or --run-dir",
    errno.EACCES: "permission denied: change its permissions, or name another folder",
    errno.ENAMETOOLONG: "use a shorter name",
}


def _dispatch(program: str, summary: str, commands: Mapping[str, Command], arguments: list[str]) -> None:
    if not arguments or arguments[0] in ("-h", "--help"):
        echo(wrap(_overview(program, summary, commands)))
        return
    if arguments[0] not in commands:
        known = ", ".join(commands)
        raise UserError(f"unknown command {arguments[0]!r}; known are {known} (see {program} --help)")
    command, program = commands[arguments[0]], f"{program} {arguments[0]}"
    preset = _preset(arguments, command.presets) if command.presets else None
    if {"-h", "--help"} & {*arguments}:
        echo(command_help(program, command.options, preset))
        return
    with contextlib.redirect_stdout(plain_output()):
        parsed = with_help_texts(command.options)
        options = tyro.cli(parsed, prog=program, args=arguments[1:], default=preset, config=PARSER_CONFIG)
    if isinstance(options, TrainOptions):
        flags = [argument[2:].partition("=")[0] for argument in arguments if argument.startswith("--")]
        options = replace(options, adaptable=options.open_settings({flag.replace("-", "_") for flag in flags}))
    if not command.uses_tensorflow:
        command.run(options)
    elif isinstance(options, TrainOptions):
        train_on_devices(command.run, options)
    else:
        start_tensorflow(quiet=not options.debug)
        command.run(options)


def _preset(arguments: Sequence[str], presets: Mapping[str, Options]) -> Options:
    """Return the preset that --preset names, before the real parse: it sets the defaults of all other flags."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--preset")
    name = parser.parse_known_args(arguments)[0].preset
    if name is not None and name not in presets:
        raise UserError(f"--preset: expected {', '.join(presets)}, got {name}")
    return presets[name] if name else next(iter(presets.values()))


def _overview(program: str, summary: str, commands: Mapping[str, Command]) -> str:
    usage = f"usage: {program} {{{'|'.join(commands)}}} [options]"
    listing = "\n".join(f"- {name}: {command.summary}" for name, command in commands.items())
    return f"{usage}\n\n{summary}\n\n{listing}\n\n{program} COMMAND --help explains the options of each."
