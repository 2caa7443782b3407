"""The start of TensorFlow, and of training on the devices that the user names.

This module imports TensorFlow in its functions, so that the command line answers at once.
"""

import contextlib
import io
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

from common.errors import UserError


def start_tensorflow(devices: str = "auto", workers: Any = None, quiet: bool = True) -> Any:
    """Import TensorFlow and set up the devices of `--devices`, or of the `Workers` that train together.

    Return the `tf.distribute` strategy if there are several devices. `quiet` hides what TensorFlow logs when it starts.

    Raises:
        UserError: the version of TensorFlow or Keras is too old, Keras has another backend, or a device is missing.
    """
    with _without_start_messages() if quiet else contextlib.nullcontext():
        _set_up_keras()  # before any module that needs what old versions lack
        from common.training.devices import set_up_devices

        return set_up_devices(devices, workers)


def _set_up_keras() -> None:
    """Check the versions, and replace what the user's keras.json says: these models are for TensorFlow."""
    os.environ["KERAS_BACKEND"] = "tensorflow"
    import keras
    import tensorflow as tf
    from packaging.version import Version

    for name, module, oldest in (("TensorFlow", tf, (2, 19)), ("Keras", keras, (3, 10))):
        if Version(module.__version__).release < oldest:
            raise UserError(
                f"{name} {module.__version__} is too old, expected {oldest[0]}.{oldest[1]} or later; run: "
                "python -m pip install --upgrade -r requirements.txt"
            )
    if keras.backend.backend() != "tensorflow":
        raise UserError(
            f"Keras was imported with the backend {keras.backend.backend()}, expected tensorflow; "
            "restart the notebook's kernel, and run this first"
        )
    keras.config.set_floatx("float32")
    keras.config.set_image_data_format("channels_last")


def train_on_devices(train: Callable[[Any], None], options: Any) -> None:
    """Run `train(options)` in the scope of the devices; only the first of several workers writes for the user."""
    from common.training.cluster import read_workers

    workers = read_workers()
    with contextlib.ExitStack() as stack:
        if workers and not workers.is_chief:
            temporary = stack.enter_context(tempfile.TemporaryDirectory())
            options = replace(options, run_dir=Path(temporary) / "run")
            stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
        strategy = start_tensorflow(options.devices, workers, quiet=not options.debug)
        from common.training.devices import training_devices

        stack.enter_context(training_devices(strategy))
        try:
            train(options)
        except Exception as error:
            import tensorflow as tf

            if not workers or not isinstance(error, tf.errors.OpError):
                raise
            lost = workers.named_in(str(error)) or "another worker"
            raise UserError(
                f"{lost} is gone; start all workers again with the same commands: they resume from the last checkpoint"
            ) from error


def _memory_file() -> BinaryIO:
    """Return a file without a disk, which may be full, where the system has such files."""
    if hasattr(os, "memfd_create"):  # Linux
        return os.fdopen(os.memfd_create("messages"), "w+b")
    return tempfile.TemporaryFile()


@contextlib.contextmanager
def _without_start_messages() -> Iterator[None]:
    """Hide TensorFlow's log lines about missing GPUs and processor features.

    Its C++ code writes some of them to file descriptor 2 before it reads any setting. So the descriptor is redirected.
    If the start fails, the lines are shown.
    """
    if "TF_CPP_MIN_LOG_LEVEL" in os.environ:  # the user has set the log level
        yield
        return
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    stderr = os.dup(2)
    with _memory_file() as messages:
        os.dup2(messages.fileno(), 2)
        try:
            yield
        except UserError:
            raise
        except Exception:
            messages.seek(0)
            os.write(stderr, messages.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            del os.environ["TF_CPP_MIN_LOG_LEVEL"]  # TensorFlow has read it; child processes must not inherit it
