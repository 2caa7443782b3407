"""The processor and the GPUs of this machine, and the precision that suits them."""

import os
import platform
from typing import NamedTuple

import tensorflow as tf

from common.io.processor import FAST_BFLOAT16, cpuinfo, processor_features

BFLOAT16_CAPABILITY = 8  # the compute capability of NVIDIA GPUs from which on they multiply bfloat16 (Ampere)


class Precision(NamedTuple):
    """A precision, and why it was chosen."""

    name: str
    reason: str


def describe_hardware() -> dict[str, str]:
    """Return processor, its features, cores in use, memory and GPUs, each in a few words."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    details = tf.config.experimental.get_device_details
    gpus = [details(gpu).get("device_name", "GPU") for gpu in tf.config.get_visible_devices("GPU")]
    hardware = {
        "processor": cpuinfo().get("model name") or platform.processor() or platform.machine(),
        "features": " ".join(processor_features()),
        "cores": str(cores),
        "gpus": ", ".join(gpus),
    }
    if "SC_PHYS_PAGES" in getattr(os, "sysconf_names", {}):
        hardware["memory"] = f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"
    return {name: value for name, value in hardware.items() if value}


def fast_precision() -> Precision:
    """Return bfloat16 if the devices in use multiply it faster than float32, else float32."""
    if gpus := tf.config.get_visible_devices("GPU"):
        details = tf.config.experimental.get_device_details
        capability = min(details(gpu).get("compute_capability", (0, 0)) for gpu in gpus)
        reason = f"compute capability {capability[0]}.{capability[1]}"
        return Precision("bfloat16" if capability[0] >= BFLOAT16_CAPABILITY else "float32", f"the GPU has {reason}")
    if found := [feature for feature in processor_features() if feature in FAST_BFLOAT16]:
        return Precision("bfloat16", f"the processor has {found[0]}")
    return Precision("float32", f"the processor has neither {' nor '.join(FAST_BFLOAT16)}")
