"""A lock that is gone with the process that held it, however that ended."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from common.errors import UserError


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Be the only process in this block that has locked the file at `path`, which says the number of the process.

    The system keeps the lock, not the file, so a file left by a kill locks nobody out. Where a file system knows no
    locks (some network ones), nobody is kept out at all.

    Raises:
        UserError: another process is in there, or the file cannot be written.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}); make the folder writable") from error
    with open(descriptor, "r+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(
                f"{path.parent}: process {file.read().strip() or '(unknown)'} is training there; wait for it or stop "
                "it, or name another --run-dir"
            ) from error
        except OSError:
            pass
        file.truncate()
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield
