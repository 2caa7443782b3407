"""A lock that the system releases when its process ends, even by a kill."""

import contextlib
import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from common.errors import UserError


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on the file at `path` during this block; the file contains the process id.

    The lock belongs to the process, so a file left by a killed process locks nothing. On file systems without locks
    (some network ones), there is no exclusion.

    Raises:
        UserError: another process holds the lock; the file is not writable; or it is a link or has several hard links,
            so that writing to it could change another file.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, mode=0o666)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}); make the folder writable") from error
    with open(descriptor, "rb+", buffering=0) as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
            raise UserError(f"{path}: expected a file without links; delete it and give the same command again")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = file.read(20).decode(errors="replace").strip() or "(unknown)"
            raise UserError(
                f"{path.parent}: process {holder} is training there; wait for it or stop it, or name another --run-dir"
            ) from error
        except OSError:
            pass
        file.truncate(0)
        file.write(b"%d\n" % os.getpid())
        yield
