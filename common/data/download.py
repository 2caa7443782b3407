"""One verified download cache: `fetch` returns the published file, or raises and has changed nothing.

A file is downloaded under a name of its own, checked, flushed to disk, and only then renamed into place. So nobody ever
sees a partial file at the final path, however many processes download it at once and wherever one is killed.
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
from common.data.watchdog import time_limit, watch
from common.errors import UserError
from common.io.files import flush, part_path, stale_parts
from common.io.terminal import one_line

_TRIES = 4  # for failures that may pass
_TRIES_WRONG = 2  # for a complete answer that is not the published file
_TIMEOUT = 10.0  # seconds to connect, until the headers are complete, and between two pieces of the body
_WINDOW = 10.0  # seconds over which the rate is measured: less than one packet in that time is no download
_LEAST_RATE = 100  # bytes a second
_BACKOFF = 0.5  # seconds before the second try, doubled for each further one
_LONGEST_WAIT = 30.0  # seconds, even if the server asks for more
_MOST_REDIRECTS = 10
_CHUNK = 1 << 18  # bytes
# Without compression on the way, size and digest are those of the file as published.
_HEADERS = {"Accept-Encoding": "identity", "Connection": "close"}


@dataclass(frozen=True)
class Resource:
    """A published file and how to recognise it: by size and digest, or by what it contains.

    Raises:
        ValueError: there is no digest at all, or a field cannot be meant.
    """

    path: str  # its name in the cache, relative, with "/" between folders
    url: str
    size: int  # in bytes
    licence: str
    sha256: str | None = None
    md5: str | None = None  # for publishers who tell no sha256
    # Files in a zip or tar, each with its sha256, or None for any content. A container that differs from the published
    # one is as good if it has all of them.
    members: Mapping[str, str | None] = field(default_factory=dict, hash=False)
    description: str = ""

    def __post_init__(self):
        """Check the fields."""
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
        """Algorithm and digest of the published file; the digest is None if only members tell."""
        return ("md5", self.md5) if self.md5 and not self.sha256 else ("sha256", self.sha256)


def cache_dir(data_dir: str | os.PathLike[str] | None = None) -> Path:
    """Return the cache folder: the argument, else $EAGER_EXAMPLES_DATA, else the one for caches in the user's home."""
    folder = data_dir or os.environ.get("EAGER_EXAMPLES_DATA") or platformdirs.user_cache_dir("eager-examples")
    return Path(os.path.expanduser(folder))


def fetch(resource: Resource, data_dir: str | os.PathLike[str] | None = None) -> Path:
    """Return the path of a resource in the cache, after downloading it if it is not there or does not verify.

    A file that verifies is used without a connection. With EAGER_EXAMPLES_OFFLINE=1 there is no connection ever.

    Raises:
        UserError: it cannot be downloaded, verified or written. What was in the cache is still there.
    """
    path = cache_dir(data_dir) / resource.path
    fault = _fault_at(path, resource)
    if fault is None:
        return path
    try:
        _download(resource, path)
    except FailedTry as failure:
        raise UserError(_explain(resource, path, fault, failure.reason)) from failure
    except OSError as error:
        if _fault_at(path, resource) is not None:  # or else a faster process has put it there, and swept this part
            what = f"does not verify ({fault}) and cannot be replaced" if fault else "cannot be written"
            free = shutil.disk_usage(next(filter(os.path.exists, path.absolute().parents))).free
            raise UserError(
                f"{path}: {what} ({error.strerror or error}; {resource.size} bytes needed, {free} free); free some "
                "space, or point --data-dir or EAGER_EXAMPLES_DATA at a folder that can be written"
            ) from error
    for stale in stale_parts(path):
        with contextlib.suppress(OSError):
            stale.unlink()
    return path


@dataclass(eq=False)
class FailedTry(Exception):
    """A download that failed, how many tries such a failure is worth, and how many seconds the server asks to wait."""

    reason: str
    tries: int = 1
    wait: float = 0.0


def _explain(resource: Resource, path: Path, fault: str, reason: str) -> str:
    algorithm, digest = resource.digest
    broken = f" in place of {path}, which does not verify ({fault})" if fault else ""
    pins = f"{resource.size} bytes, {algorithm} {digest}" if digest else f"{resource.size} bytes"
    return (
        f"cannot download {path.name}{broken}: {reason}. Put the file from {resource.url} ({pins}) at {path}, or point "
        "--data-dir or EAGER_EXAMPLES_DATA at a folder that has it."
    )


def _fault_at(path: Path, resource: Resource) -> str | None:
    """Say how the file at `path` differs from the published one: None if it does not, "" if there is no file."""
    try:
        if not path.exists():
            return ""
        if not path.is_file():
            raise UserError(f"{path}: expected a file, got a folder or a device; move it out of the way")
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, resource.digest[0])
            return _fault(path, file.tell(), digest.hexdigest(), resource)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error}); make it readable, or move it") from error


def _fault(path: Path, size: int, digest: str, resource: Resource) -> str | None:
    """Say how a file, of which size and digest are known, differs from the published one; None if it does not."""
    algorithm, expected = resource.digest
    if (size, digest) == (resource.size, expected):
        return None
    if resource.members:
        return _members_fault(path, resource.members)
    if size != resource.size:
        return f"got {size} of {resource.size} bytes"
    return f"expected {algorithm} {expected}, got {digest}"


def _members_fault(path: Path, members: Mapping[str, str | None]) -> str | None:
    try:
        digests = member_digests(path, members)
    except UserError as error:
        return str(error)
    for name, expected in members.items():
        if (got := digests[name]) is None or expected not in (None, got):
            return f"{name}: expected {f'sha256 {expected}' if expected else 'it in there'}, got {got}"
    return None


def _download(resource: Resource, path: Path) -> None:
    """Put the verified resource at `path`, or raise a FailedTry worth no other, or OSError if it cannot be written."""
    if os.environ.get("EAGER_EXAMPLES_OFFLINE", "0") not in ("", "0"):
        raise FailedTry("EAGER_EXAMPLES_OFFLINE is set")
    path.parent.mkdir(parents=True, exist_ok=True)
    for number in itertools.count(1):
        try:
            return _try_download(resource, path)
        except FailedTry as failure:
            if number >= failure.tries:
                raise
            wait = max(failure.wait, _BACKOFF * 2 ** (number - 1))
        time.sleep(min(wait, _LONGEST_WAIT))


def _try_download(resource: Resource, path: Path) -> None:
    part = part_path(path)
    try:
        with open(part, "xb") as file, open_url(resource.url) as response:
            size, digest = _receive(response, file, resource)
            file.flush()
            os.fsync(file.fileno())
        _check(part, size, digest, resource, response)
        os.replace(part, path)
        flush(path.parent)
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


class _Session(requests.Session):
    """Leaves redirects to `_follow`: requests would first read the body of each, however long."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        return None


@contextlib.contextmanager
def open_url(url: str) -> Iterator[requests.Response]:
    """Give the good answer to a request, redirects followed; `body` reads what it holds.

    Raises:
        FailedTry: there is no good answer.
    """
    with _Session() as session:
        watch(session, _TIMEOUT)
        with _follow(session, url) as response:
            yield response


def _follow(session: _Session, url: str) -> requests.Response:
    for _ in range(_MOST_REDIRECTS + 1):
        response = _get(session, url)
        if not response.is_redirect:
            return response
        response.close()
        url = _redirected(url, response.headers["Location"])
    raise FailedTry(f"more than {_MOST_REDIRECTS} redirects, the last to {url}")


def _get(session: _Session, url: str) -> requests.Response:
    try:
        response = session.get(url, stream=True, timeout=_TIMEOUT, headers=_HEADERS)
    except (OSError, ValueError, urllib3.exceptions.HTTPError) as error:  # OSError: the base of all that requests has
        tries = _TRIES if isinstance(error, (requests.ConnectionError, requests.Timeout)) else 1
        raise FailedTry(f"no connection to {urlsplit(url).hostname} ({_cause(error)})", tries) from error
    status = response.status_code
    if status == 200 or response.is_redirect:
        return response
    response.close()
    if status not in (408, 429) and status < 500:
        raise FailedTry(f"{url} answered {status}")
    wait = None
    with contextlib.suppress(urllib3.exceptions.InvalidHeader):
        wait = urllib3.Retry().get_retry_after(response.raw)
    raise FailedTry(f"{url} answered {status}", _TRIES, wait or 0.0)


def _redirected(url: str, location: str) -> str:
    """Return where a redirect leads; never to a file on this machine, nor from https to http."""
    with contextlib.suppress(ValueError):
        target = urljoin(url, location)
        if urlsplit(target).scheme in (urlsplit(url).scheme, "https") and urlsplit(target).hostname:
            return target
    raise FailedTry(f"{url} redirects to {location!r}, which is not followed")


def _receive(response: requests.Response, file: BinaryIO, resource: Resource) -> tuple[int, str]:
    """Write the body to `file`; return its size and digest."""
    digest = hashlib.new(resource.digest[0])
    with tqdm(desc=one_line(resource.path), total=resource.size, unit="B", unit_scale=True, disable=None) as progress:
        for chunk in body(response, resource.size):
            file.write(chunk)
            digest.update(chunk)
            progress.update(len(chunk))
    return file.tell(), digest.hexdigest()


def body(response: requests.Response, expected: int) -> Iterator[bytes]:
    """Yield the body of an answer as it comes, at most one chunk beyond the expected size in bytes.

    Raises:
        FailedTry: it breaks off, or comes too slowly.
    """
    host = urlsplit(response.url).hostname
    size, window_start, window_bytes = 0, time.monotonic(), 0
    try:
        while size <= expected:
            with time_limit(response, _TIMEOUT):
                # read1 returns what has come; read would wait for a whole chunk, for hours if it comes in drips.
                chunk = response.raw.read1(_CHUNK, decode_content=False)
            if not chunk:
                break
            yield chunk
            size += len(chunk)
            window_bytes += len(chunk)
            seconds = time.monotonic() - window_start
            if seconds >= _WINDOW:
                if window_bytes < _LEAST_RATE * seconds:
                    raise FailedTry(f"{host} is too slow: {window_bytes} bytes in {seconds:.0f} seconds", _TRIES)
                window_start, window_bytes = time.monotonic(), 0
    except (urllib3.exceptions.HTTPError, TimeoutError) as error:
        raise FailedTry(f"got {size} of {expected} bytes from {host} ({_cause(error)})", _TRIES) from error


def _check(part: Path, size: int, digest: str, resource: Resource, response: requests.Response) -> None:
    fault = f"got {size} of {resource.size} bytes" if size != resource.size else _fault(part, size, digest, resource)
    if fault is None:
        return
    complete = size >= resource.size or response.headers.get("Content-Length") == str(size)
    page = "text/html" in response.headers.get("Content-Type", "")
    hint = "; it is an HTML page: does a login or proxy page stand in the way?" if page else ""
    raise FailedTry(f"{response.url} sent another file ({fault}{hint})", _TRIES_WRONG if complete else _TRIES)


def _cause(error: BaseException) -> str:
    """Return in one line what lies under the layers of requests and urllib3."""
    while error.__context__ and type(error).__module__.partition(".")[0] in ("requests", "urllib3"):
        error = error.__context__
    return " ".join(f"{type(error).__name__}: {error}".split())
