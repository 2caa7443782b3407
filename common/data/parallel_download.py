"""Many small files of which nobody publishes digests, photos for one: fetched side by side, each whole or not."""

import contextlib
import os
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import requests
from tqdm import tqdm

from common.data.download import FailedTry, body, open_url
from common.errors import UserError
from common.io.files import is_part, part_path, part_stem

_WORKERS = 16
_TRIES = 2  # each; the next run tries again
_MOST_BYTES = 50_000_000
_HOPELESS = 32  # failures in a row: without a network, each name server asked may take its time to say so


def fetch_all(urls: Mapping[Path, str], check: Callable[[Path], Any], what: str = "files") -> dict[Path, str]:
    """Download each URL to its path, several at a time, except to paths where there is a file already.

    As with `fetch`, a file appears by a rename once it is complete and checked. What fails is told, not
    raised: of ten thousand photos some are always gone. When nothing comes any more, the rest is not asked for.

    Args:
        urls: maps each path to its URL.
        check: given the path of a complete file, raises UserError if it is not what it should be.
        what: the files' name in the progress bar.

    Returns:
        For each path without a file the reason.
    """
    missing = {path: url for path, url in urls.items() if not os.path.exists(path)}
    if os.environ.get("EAGER_EXAMPLES_OFFLINE", "0") not in ("", "0"):
        return dict.fromkeys(missing, "EAGER_EXAMPLES_OFFLINE is set")
    failed: dict[Path, str] = {}
    hopeless, in_a_row = threading.Event(), 0

    def fetch_one(entry: tuple[Path, str]) -> str | None:
        return f"not asked for after {_HOPELESS} failures in a row" if hopeless.is_set() else _fetch_one(*entry, check)

    with ThreadPoolExecutor(_WORKERS) as pool:
        faults = pool.map(fetch_one, missing.items())
        for path, fault in zip(missing, tqdm(faults, what, len(missing), disable=None), strict=True):
            in_a_row = in_a_row + 1 if fault else 0
            if fault:
                failed[path] = fault
            if in_a_row == _HOPELESS:
                hopeless.set()
    _sweep(urls)
    return failed


def _sweep(paths: Iterable[Path]) -> None:
    """Delete what killed downloads of files that are complete by now have left behind."""
    complete = {(path.parent, part_stem(path)) for path in paths if os.path.exists(path)}
    for folder in {parent for parent, _ in complete}:
        for part in filter(is_part, folder.iterdir()):
            if (folder, part.name[1:-38]) in complete:  # see part_path: .STEM.32 digits.part
                part.unlink(missing_ok=True)


def _fetch_one(path: Path, url: str, check: Callable[[Path], Any]) -> str | None:
    """Return the reason if it cannot be downloaded."""
    fault = None
    for _ in range(_TRIES):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return _try_one(path, url, check)
        except FailedTry as failure:
            fault = failure.reason
            if failure.tries == 1:
                break
        except (OSError, ValueError) as error:  # ValueError: of a name or a header that makes no sense
            return str(error)
    return fault


def _try_one(path: Path, url: str, check: Callable[[Path], Any]) -> None:
    part = part_path(path)
    try:
        with open(part, "xb") as file, open_url(url) as response:
            for chunk in body(response, _announced(response)):
                file.write(chunk)
        if part.stat().st_size > _MOST_BYTES:
            raise FailedTry(f"{url} sent more than {_MOST_BYTES} bytes")
        try:
            check(part)
        except UserError as error:
            raise FailedTry(f"{url} sent no good file ({error})".replace(str(part), path.name), _TRIES) from error
        os.replace(part, path)
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def _announced(response: requests.Response) -> int:
    """Return how many bytes the answer is to have, by its header, and at most `_MOST_BYTES`."""
    length = response.headers.get("Content-Length", "")
    return min(int(length), _MOST_BYTES) if length.isascii() and length.isdigit() else _MOST_BYTES
