"""A published file, what must be said when it cannot be had, and processes that fetch it."""

import hashlib
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from common.data.download import Resource, fetch
from common.errors import UserError

ROOT = Path(__file__).parent.parent
BODY = random.Random(1).randbytes(300_000)
HALF = len(BODY) // 2


def digest_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def published(url: str, **changes: object) -> Resource:
    fields = {"path": "data.bin", "size": len(BODY), "licence": "none", "sha256": digest_of(BODY)}
    return Resource(url=url, **{**fields, **changes})


def failure(*arguments: object) -> str:
    """Return the message of the UserError with which `fetch` must fail, after checking that it is one line."""
    with pytest.raises(UserError) as caught:
        fetch(*arguments)
    message = str(caught.value)
    assert "\n" not in message
    return message


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


def start_process(*lines: str, **variables: object) -> subprocess.Popen:
    """Start a process that imports `download`, sets the variables and runs the lines."""
    imports = ["import hashlib, os, signal, sys, time", "from common.data.download import Resource, fetch"]
    script = "\n".join([*imports, *(f"{name} = {value!r}" for name, value in variables.items()), *lines])
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, "-c", script], env=environment, stderr=subprocess.PIPE, text=True)
