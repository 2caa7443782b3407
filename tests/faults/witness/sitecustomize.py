"""Writes down, in the file that $WITNESS names, each file that this process opens for writing, and each connection."""

import os
import sys

_log = os.open(os.environ["WITNESS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def _note(event: str, arguments: tuple) -> None:
    if event == "open" and isinstance(arguments[0], (str, bytes, os.PathLike)):
        path, _, flags = arguments
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            os.write(_log, f"write {os.path.abspath(os.fsdecode(path))}\n".encode(errors="backslashreplace"))
    elif event == "os.mkdir":
        os.write(_log, f"write {os.path.abspath(os.fsdecode(arguments[0]))}\n".encode(errors="backslashreplace"))
    elif event in ("socket.connect", "socket.getaddrinfo"):
        os.write(_log, f"{event} {arguments[1:]}\n".encode())


sys.addaudithook(_note)
