"""The devices that train: one, several of this machine, or those of several machines, through `tf.distribute`.

`training_devices` puts the whole `train` command into the scope of the strategy; the code of an example does not know
about it. Each replica trains on its rows of every batch, see `common.nn.replicas`. Several machines are described by
the environment variable TF_CONFIG, as everywhere in TensorFlow; its first worker is the chief, and only the chief
writes a run directory.
"""

import contextlib
from collections.abc import Iterator

import tensorflow as tf

from common.errors import UserError
from common.io.terminal import echo
from common.nn.fused_kernel import cudnn, install_kernel
from common.training.cluster import Workers


def set_up_devices(devices: str, workers: Workers | None = None) -> tf.distribute.Strategy | None:
    """Make the devices visible to TensorFlow and return the strategy; None for a single device.

    Call it before TensorFlow has used any device. On GPUs, memory is taken as it is needed, so that several processes
    can share a GPU.

    Args:
        devices: "auto" (the first GPU, else the processor), "cpu", "cpu:N" (the processor as N devices), "gpu" (all
            GPUs) or "gpu:I,J" (those of these numbers).
        workers: the processes that train together.

    Raises:
        UserError: there is no such device.
    """
    kind, _, numbers = devices.partition(":")
    gpus = tf.config.list_physical_devices("GPU")
    if kind == "gpu" and not gpus:
        raise UserError(f"--devices {devices}: TensorFlow finds no GPU here; see docs/scaling.md, or use --devices cpu")
    if kind == "gpu" and numbers:
        if max(map(int, numbers.split(","))) >= len(gpus):
            raise UserError(f"--devices {devices}: expected numbers below {len(gpus)}, as there are {len(gpus)} GPUs")
        gpus = [gpus[int(number)] for number in numbers.split(",")]
    elif kind == "auto":
        gpus = gpus[:1]
    elif kind == "cpu":
        gpus = []
    tf.config.set_visible_devices(gpus, "GPU")
    install_kernel(cudnn if gpus else None)
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    if kind == "cpu" and numbers:
        [processor] = tf.config.list_physical_devices("CPU")
        tf.config.set_logical_device_configuration(processor, [tf.config.LogicalDeviceConfiguration()] * int(numbers))
    if workers:
        echo(f"worker {workers.index} of {len(workers.addresses)}: waiting for {', '.join(workers.addresses)}")
        return tf.distribute.MultiWorkerMirroredStrategy()
    names = [device.name for device in tf.config.list_logical_devices("GPU" if gpus else "CPU")]
    return tf.distribute.MirroredStrategy(names) if len(names) > 1 else None


_scope = contextlib.ExitStack()


@contextlib.contextmanager
def training_devices(strategy: tf.distribute.Strategy | None) -> Iterator[None]:
    """Enter the scope of `strategy` until `leave_scope`, or to the end of this block."""
    with _scope:
        if strategy:
            _scope.enter_context(strategy.scope())
        yield


def leave_scope() -> None:
    """End the scope of the strategy: training is over, and what follows runs on one device."""
    _scope.close()
