"""Named arrays in one file of the safetensors format, which holds numbers only and so cannot execute code.

Other frameworks read it too: https://huggingface.co/docs/safetensors
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from common.errors import UserError


def tensor_bytes(tensors: Mapping[str, np.ndarray]) -> bytes:
    """Return named arrays of any shape as the bytes of a file."""
    return save({name: np.asarray(values, order="C") for name, values in tensors.items()})


def tensors_from(content: bytes, path: Path) -> dict[str, np.ndarray]:
    """Return the named arrays in the bytes of a file; `path` is for the error message.

    Raises:
        UserError: the bytes are not in the safetensors format.
    """
    try:
        return load(content)
    except (SafetensorError, LookupError, ValueError, TypeError) as error:
        raise UserError(f"{path}: not in the safetensors format ({error}); restore it from a copy") from error
