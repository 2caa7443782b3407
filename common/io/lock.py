"""A lock that is gone with the process that held it, however that ended."""

import contextlib
import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from common.errors import UserError


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Be the only process in this block that has locked the file at `path`, which says the number of the process.

    The system keeps the lock, not the file, so a file left by a kill locks nobody out. Where a file system knows no
    locks (some network ones), nobody is kept out at all.

    Raises:
        UserError: another process is in there; the file cannot be written; or it is a link, or a file of another name
            as well, in which nothing may be written.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, mode=0o666)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}); make the folder writable") from error
    with open(descriptor, "rb+", buffering=0) as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
            raise UserError(f"{path}: expected a file of its own; delete it and give the same command again")
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
