"""Arrays by name in one file of the safetensors format: numbers and nothing else, so that no file can run anything.

The format: https://huggingface.co/docs/safetensors. It is read by other frameworks as well.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from common.errors import UserError
from common.io.files import read_plain, write_atomically


def tensor_bytes(tensors: Mapping[str, np.ndarray]) -> bytes:
    """Return a file of arrays of any shape as bytes."""
    return save({name: np.asarray(values, order="C") for name, values in tensors.items()})


def tensors_from(content: bytes, path: Path) -> dict[str, np.ndarray]:
    """Return the arrays in the bytes of a file; `path` is for the message.

    Raises:
        UserError: they are no safetensors file.
    """
    try:
        return load(content)
    except (SafetensorError, LookupError, ValueError, TypeError) as error:
        raise UserError(f"{path}: not in the safetensors format ({error}); restore it from a copy") from error


def write_tensors(path: Path, tensors: Mapping[str, np.ndarray]) -> None:
    """Write arrays by name; the file appears whole.

    Raises:
        OSError: it cannot be written.
    """
    write_atomically(path, tensor_bytes(tensors))


def read_tensors(path: Path, max_bytes: int) -> dict[str, np.ndarray]:
    """Return what `write_tensors` wrote.

    Raises:
        UserError: there is no such file, it is no plain file, larger than `max_bytes`, or not of the format.
    """
    return tensors_from(read_plain(path, max_bytes), path)
