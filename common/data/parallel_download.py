"""Concurrent, atomic download of many small files without published digests, for instance photos."""

import os
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from tqdm import tqdm

from common.data.download import DownloadError, is_offline, iter_content, open_url
from common.errors import UserError
from common.io.files import is_temporary, replacing, temporary_stem
from common.io.pool import Pool

_WORKERS = 16
_MAX_ATTEMPTS = 2  # per file; the next run tries again
_MAX_BYTES = 50_000_000
_MAX_CONSECUTIVE_FAILURES = 32  # without a network, each request to a name server may take seconds to fail


def download_many(urls: Mapping[Path, str], check: Callable[[Path], Any], label: str = "files") -> dict[Path, str]:
    """Download each URL to its path, several at a time; skip paths that exist.

    Each file is complete and checked before it is renamed to its path. Failures are returned, not raised: of ten
    thousand photos, some are always missing. After too many failures in a row, the rest is skipped.

    Args:
        urls: the URL of each path.
        check: called with the path of a complete file; raises UserError if the file is invalid.
        label: the label of the progress bar.

    Returns:
        The reason of each failure, by path.
    """
    missing = {path: url for path, url in urls.items() if not os.path.exists(path)}
    if is_offline():
        return dict.fromkeys(missing, "EAGER_EXAMPLES_OFFLINE is set")
    failed: dict[Path, str] = {}
    is_stopped, consecutive_failures = threading.Event(), 0

    def download_one(entry: tuple[Path, str]) -> str | None:
        if is_stopped.is_set():
            return f"skipped after {_MAX_CONSECUTIVE_FAILURES} failures in a row"
        return _download_one(*entry, check)

    with Pool(_WORKERS) as pool:
        reasons = pool.map(download_one, missing.items())
        for path, reason in zip(missing, tqdm(reasons, label, len(missing), disable=None), strict=True):
            consecutive_failures = consecutive_failures + 1 if reason else 0
            if reason:
                failed[path] = reason
            if consecutive_failures == _MAX_CONSECUTIVE_FAILURES:
                is_stopped.set()
    _remove_temporary_files(urls)
    return failed


def _remove_temporary_files(paths: Iterable[Path]) -> None:
    """Delete the temporary files of killed downloads whose files are complete now."""
    complete = {(path.parent, temporary_stem(path)) for path in paths if os.path.exists(path)}
    for folder in {parent for parent, _ in complete}:
        for temporary in filter(is_temporary, folder.iterdir()):
            if (folder, temporary.name[1:-38]) in complete:  # see temporary_path: .STEM.32 digits.part
                temporary.unlink(missing_ok=True)


def _download_one(path: Path, url: str, check: Callable[[Path], Any]) -> str | None:
    """Download a file; return the reason of a failure, else None."""
    reason = None
    for _ in range(_MAX_ATTEMPTS):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return _try_download(path, url, check)
        except DownloadError as failure:
            reason = failure.reason
            if failure.max_attempts == 1:
                break
        except (OSError, ValueError) as error:  # ValueError: an invalid name or header
            # Another process may have downloaded the file, and removed the temporary one of this process.
            return None if os.path.exists(path) else str(error)
    return reason


def _try_download(path: Path, url: str, check: Callable[[Path], Any]) -> None:
    with replacing(path) as temporary:
        with open(temporary, "xb") as file, open_url(url) as response:
            expected = min(response.raw.length_remaining or _MAX_BYTES, _MAX_BYTES)  # by its header, if it has one
            for chunk in iter_content(response, expected):
                file.write(chunk)
        if temporary.stat().st_size > _MAX_BYTES:
            raise DownloadError(f"{url} sent more than {_MAX_BYTES} bytes")
        try:
            check(temporary)
        except UserError as error:
            reason = f"{url} sent an invalid file ({error})".replace(str(temporary), path.name)
            raise DownloadError(reason, _MAX_ATTEMPTS) from error
