"""What the processor of this machine can do."""

import os
from pathlib import Path

FAST_BFLOAT16 = ("avx512_bf16", "amx_bf16")  # features that multiply bfloat16 in one instruction
VECTOR_FEATURES = ("avx2", "avx512f", *FAST_BFLOAT16)
CPUINFO = Path("/proc/cpuinfo")


def cpuinfo(path: Path = CPUINFO) -> dict[str, str]:
    """Return the description of the first processor on Linux, {} elsewhere."""
    if not path.exists():
        return {}
    first = path.read_text(encoding="utf-8", errors="replace").split("\n\n")[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def processor_features(path: Path = CPUINFO) -> list[str]:
    """Return those of `VECTOR_FEATURES` that TensorFlow's products use; [] where the system does not tell.

    oneDNN, which multiplies for TensorFlow, can be told by ONEDNN_MAX_CPU_ISA=AVX2 to do without the later ones, for
    instance to try what another processor would do.
    """
    flags = cpuinfo(path).get("flags", "").split()
    usable = VECTOR_FEATURES[:1] if os.environ.get("ONEDNN_MAX_CPU_ISA") == "AVX2" else VECTOR_FEATURES
    return [feature for feature in usable if feature in flags]
