"""The verified download cache: `fetch` returns the published file, or raises and changes nothing.

A file is downloaded under a temporary name, verified, flushed to disk and renamed. So the final path never holds a
partial file, even if several processes download it at once, or one is killed. A download that breaks off starts again
from the beginning; there are four attempts at most.
"""

import contextlib
import hashlib
import itertools
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urljoin, urlsplit

import platformdirs
import requests
import urllib3
from tqdm import tqdm

from common.data.archives import member_digests
from common.data.watchdog import in_time
from common.errors import UserError
from common.io.files import delete, leftover_temporary_paths, replacing
from common.io.terminal import one_line

_MAX_ATTEMPTS = 4  # for temporary failures
_MAX_ATTEMPTS_MISMATCH = 2  # for a complete file that is not the published one
_TIMEOUT = 10.0  # seconds to connect, to receive all headers, and between two chunks of the content
_WINDOW = 10.0  # seconds over which the rate is measured
_MIN_RATE = 100  # bytes per second: less than one packet per window
_BACKOFF = 0.5  # seconds before the second attempt, doubled for each further one
_MAX_WAIT = 30.0  # seconds, even if the server asks for more
_MAX_REDIRECTS = 10
_CHUNK = 1 << 18  # bytes
# Without compression in transit, size and digest are those of the published file.
_HEADERS = {"Accept-Encoding": "identity", "Connection": "close"}


@dataclass(frozen=True)
class Resource:
    """A published file, and the size and digest of the file or of its members that verify it.

    Raises:
        ValueError: there is no digest, or a field is invalid.
    """

    path: str  # relative to the cache, with "/" between folders
    url: str
    size: int  # in bytes
    licence: str
    sha256: str | None = None
    md5: str | None = None  # if the publisher gives no sha256
    # Files in a zip, each with its sha256, or None for any content. An archive that differs from the published
    # one is accepted if it has all of them.
    members: Mapping[str, str | None] = field(default_factory=dict, hash=False)

    def __post_init__(self):
        digests = [(self.sha256, 64), (self.md5, 32), *((digest, 64) for digest in self.members.values())]
        if not any(digest for digest, _ in digests):
            raise ValueError(f"{self.path}: expected a sha256, an md5 or the sha256 of a member, got none")
        for digest, length in digests:
            if digest is not None and not re.fullmatch(f"[0-9a-f]{{{length}}}", digest):
                raise ValueError(f"{self.path}: expected {length} lower-case hexadecimal digits, got {digest!r}")
        is_inside = {"", ".", ".."}.isdisjoint(self.path.split("/"))
        if not is_inside or urlsplit(self.url).scheme not in ("http", "https") or self.size <= 0:
            raise ValueError(f"expected a path inside the cache, an http(s) URL and a positive size, got {self}")

    @property
    def digest(self) -> tuple[str, str | None]:
        """The algorithm and the digest of the published file; the digest is None if only members have one."""
        return ("md5", self.md5) if self.md5 and not self.sha256 else ("sha256", self.sha256)


def cache_dir(data_dir: str | os.PathLike[str] | None = None) -> Path:
    """Return the cache folder: the argument, else $EAGER_EXAMPLES_DATA, else the user's cache folder."""
    folder = data_dir or os.environ.get("EAGER_EXAMPLES_DATA") or platformdirs.user_cache_dir("eager-examples")
    return Path(os.path.expanduser(folder))


def is_offline() -> bool:
    """Return whether $EAGER_EXAMPLES_OFFLINE forbids connections."""
    return os.environ.get("EAGER_EXAMPLES_OFFLINE", "0") not in ("", "0")


def derived_dir() -> Path:
    """Return the folder for what is made from downloads and can be made again."""
    return Path(platformdirs.user_cache_dir("eager-examples")) / "derived"


def fetch(resource: Resource, data_dir: str | os.PathLike[str] | None = None) -> Path:
    """Return the path of a resource in the cache; download it if it is missing or does not verify.

    A file that verifies needs no connection. With EAGER_EXAMPLES_OFFLINE=1, no connection is ever made.

    Raises:
        UserError: the file cannot be downloaded, verified or written; the cache is unchanged.
    """
    path = cache_dir(data_dir) / resource.path
    mismatch = _verify(path, resource)
    if mismatch is None:
        return path
    try:
        _download(resource, path)
    except DownloadError as failure:
        raise UserError(_explain(resource, path, mismatch, failure.reason)) from failure
    except OSError as error:
        if _verify(path, resource) is not None:  # else a faster process has finished, and deleted this temporary file
            problem = f"does not verify ({mismatch}) and cannot be replaced" if mismatch else "cannot be written"
            free = shutil.disk_usage(next(filter(os.path.exists, path.absolute().parents))).free
            raise UserError(
                f"{path}: {problem} ({error.strerror or error}; {resource.size} bytes needed, {free} free); free some "
                "space, or set --data-dir or EAGER_EXAMPLES_DATA to a writable folder"
            ) from error
    for stale in leftover_temporary_paths(path):
        delete(stale)
    return path


@dataclass(eq=False)
class DownloadError(Exception):
    """A failed download: the reason, the number of attempts that it justifies, and the seconds to wait in between."""

    reason: str
    max_attempts: int = 1
    wait: float = 0.0


def _explain(resource: Resource, path: Path, mismatch: str, reason: str) -> str:
    algorithm, digest = resource.digest
    broken = f" in place of {path}, which does not verify ({mismatch})" if mismatch else ""
    pins = f"{resource.size} bytes, {algorithm} {digest}" if digest else f"{resource.size} bytes"
    return (
        f"cannot download {path.name}{broken}: {reason}. Put the file from {resource.url} ({pins}) at {path}, or set "
        "--data-dir or EAGER_EXAMPLES_DATA to a folder that has it."
    )


def _verify(path: Path, resource: Resource) -> str | None:
    """Return the mismatch between a file and the published one; None if it verifies, "" if there is no file."""
    try:
        if not path.exists():
            return ""
        if not path.is_file():
            raise UserError(f"{path}: expected a file, got a folder or a device; move it out of the way")
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, resource.digest[0])
            return _mismatch(path, file.tell(), digest.hexdigest(), resource)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error}); make it readable, or move it") from error


def _mismatch(path: Path, size: int, digest: str, resource: Resource) -> str | None:
    """Return the mismatch between a file of this size and digest and the published one, None if it verifies."""
    algorithm, expected = resource.digest
    if (size, digest) == (resource.size, expected):
        return None
    if resource.members:
        return _members_mismatch(path, resource.members)
    if size != resource.size:
        return f"got {size} of {resource.size} bytes"
    return f"expected {algorithm} {expected}, got {digest}"


def _members_mismatch(path: Path, members: Mapping[str, str | None]) -> str | None:
    try:
        digests = member_digests(path, members)
    except UserError as error:
        return str(error)
    for name, expected in members.items():
        if (got := digests[name]) is None or expected not in (None, got):
            return f"{name}: expected {f'sha256 {expected}' if expected else 'it in there'}, got {got}"
    return None


def _download(resource: Resource, path: Path) -> None:
    """Download a resource to `path` and verify it, or raise DownloadError; OSError if the file is not writable."""
    if is_offline():
        raise DownloadError("EAGER_EXAMPLES_OFFLINE is set")
    path.parent.mkdir(parents=True, exist_ok=True)
    for attempt in itertools.count(1):
        try:
            return _try_download(resource, path)
        except DownloadError as failure:
            if attempt >= failure.max_attempts:
                raise
            wait = max(failure.wait, _BACKOFF * 2 ** (attempt - 1))
        time.sleep(min(wait, _MAX_WAIT))


def _try_download(resource: Resource, path: Path) -> None:
    with replacing(path) as temporary:
        with open(temporary, "xb") as file, open_url(resource.url) as response:
            size, digest = _receive(response, file, resource)
        _check(temporary, size, digest, resource, response)


class _Session(requests.Session):
    """A session without redirects: requests would read the content of each, of any length; see `_follow`."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        return None


@contextlib.contextmanager
def open_url(url: str) -> Iterator[requests.Response]:
    """Yield the successful response to a request after all redirects; `iter_content` reads its content.

    Raises:
        DownloadError: there is none.
    """
    with _Session() as session, _follow(session, url) as response:
        yield response


def _follow(session: _Session, url: str) -> requests.Response:
    for _ in range(_MAX_REDIRECTS + 1):
        response = _get(session, url)
        if not response.is_redirect:
            return response
        response.close()
        url = _redirected(url, response.headers["Location"])
    raise DownloadError(f"more than {_MAX_REDIRECTS} redirects, the last to {url}")


def _get(session: _Session, url: str) -> requests.Response:
    try:
        response = in_time(_TIMEOUT, lambda: session.get(url, stream=True, timeout=_TIMEOUT, headers=_HEADERS))
    except (OSError, ValueError, urllib3.exceptions.HTTPError) as error:  # OSError: the base class of requests' errors
        is_temporary = isinstance(error, (requests.ConnectionError, requests.Timeout, TimeoutError))
        max_attempts = _MAX_ATTEMPTS if is_temporary else 1
        raise DownloadError(f"no connection to {urlsplit(url).hostname} ({_cause(error)})", max_attempts) from error
    status = response.status_code
    if status == 200 or response.is_redirect:
        return response
    response.close()
    if status not in (408, 429) and status < 500:
        raise DownloadError(f"{url} answered {status}")
    wait = None
    with contextlib.suppress(urllib3.exceptions.InvalidHeader):
        wait = urllib3.Retry().get_retry_after(response.raw)
    raise DownloadError(f"{url} answered {status}", _MAX_ATTEMPTS, wait or 0.0)


def _redirected(url: str, location: str) -> str:
    """Return the target of a redirect; refuse files on this machine, and http after https."""
    with contextlib.suppress(ValueError):
        target = urljoin(url, location)
        if urlsplit(target).scheme in (urlsplit(url).scheme, "https") and urlsplit(target).hostname:
            return target
    raise DownloadError(f"{url} redirects to {location!r}, which is not followed")


def _receive(response: requests.Response, file: BinaryIO, resource: Resource) -> tuple[int, str]:
    """Write the content to `file`; return its size and digest."""
    digest = hashlib.new(resource.digest[0])
    with tqdm(desc=one_line(resource.path), total=resource.size, unit="B", unit_scale=True, disable=None) as bar:
        for chunk in iter_content(response, resource.size):
            file.write(chunk)
            digest.update(chunk)
            bar.update(len(chunk))
    return file.tell(), digest.hexdigest()


def iter_content(response: requests.Response, expected: int) -> Iterator[bytes]:
    """Yield the content of a response in chunks, at most one chunk beyond the expected size in bytes.

    Raises:
        DownloadError: the connection breaks, or is too slow.
    """
    host = urlsplit(response.url).hostname
    size, window_start, window_bytes = 0, time.monotonic(), 0
    try:
        while size <= expected:
            # read1 returns the available bytes; read would wait for a whole chunk, for hours on a slow connection.
            chunk = in_time(_TIMEOUT, lambda: response.raw.read1(_CHUNK, decode_content=False), response.raw.shutdown)
            if not chunk:
                break
            yield chunk
            size += len(chunk)
            window_bytes += len(chunk)
            seconds = time.monotonic() - window_start
            if seconds >= _WINDOW:
                if window_bytes < _MIN_RATE * seconds:
                    reason = f"{host} is too slow: {window_bytes} bytes in {seconds:.0f} seconds"
                    raise DownloadError(reason, _MAX_ATTEMPTS)
                window_start, window_bytes = time.monotonic(), 0
    except (urllib3.exceptions.HTTPError, TimeoutError) as error:
        raise DownloadError(f"got {size} of {expected} bytes from {host} ({_cause(error)})", _MAX_ATTEMPTS) from error


def _check(path: Path, size: int, digest: str, resource: Resource, response: requests.Response) -> None:
    has_size = size == resource.size
    mismatch = _mismatch(path, size, digest, resource) if has_size else f"got {size} of {resource.size} bytes"
    if mismatch is None:
        return
    complete = size >= resource.size or response.headers.get("Content-Length") == str(size)
    page = "text/html" in response.headers.get("Content-Type", "")
    hint = "; it is an HTML page, perhaps a login or proxy page" if page else ""
    max_attempts = _MAX_ATTEMPTS_MISMATCH if complete else _MAX_ATTEMPTS
    raise DownloadError(f"{response.url} sent another file ({mismatch}{hint})", max_attempts)


def _cause(error: BaseException) -> str:
    """Return, as one line, the error that requests or urllib3 wrapped."""
    while error.__context__ and type(error).__module__.partition(".")[0] in ("requests", "urllib3"):
        error = error.__context__
    return " ".join(f"{type(error).__name__}: {error}".split())
