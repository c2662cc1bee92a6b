"""Downloads: bounded in size, resumable, checked while they arrive."""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING
from urllib.parse import urlsplit

from builder.host.network import redirects
from builder.host.network.arriving import SlowError, pieces
from builder.host.network.download_pool import Crowd, side_by_side
from builder.host.trees.durable import disk_errors
from builder.model.errors import UpstreamError
from builder.model.numbers import number
from builder.model.progress import Reporter

if TYPE_CHECKING:
    import requests

CONNECTIONS = 8
"""How many files are downloaded at once by default."""

ATTEMPTS = 4
"""How often a mirror is asked for a file before the next mirror is."""

TIMEOUTS = (10.0, 20.0)
"""Seconds that a mirror may take to accept a connection, and to send the next piece."""

CEILING = 16 << 30
"""No download is larger, in bytes."""

_LARGEST = 1 << 62
"""Bytes that a mirror may say it has."""
CHUNK = 1 << 16
TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Item:
    """A file to download: where it may be had, where it goes, and what it must be."""

    urls: tuple[str, ...]
    """The same file on several mirrors, the preferred one first."""
    target: Path
    size: int | None
    """Bytes; None when only the hash is known, and then at most `CEILING`."""
    sha256: str
    label: str
    """What a person calls it."""

    @property
    def part(self) -> Path:
        """Where the bytes are until they are whole; kept between runs."""
        return self.target.with_name(self.target.name + ".part")


class GoneError(UpstreamError):
    """Every mirror says that it has no such file."""

    def __init__(self, item: Item) -> None:
        super().__init__(f"there is no {' and no '.join(f'`{url}`' for url in item.urls)}")
        self.item = item


class WrongBytesError(UpstreamError):
    """Every mirror has another file under that name; `sha256` is what the last one has."""

    def __init__(self, item: Item, sha256: str) -> None:
        super().__init__(f"{item.label} has wrong bytes: sha256 {sha256}, not {item.sha256}")
        self.sha256 = sha256


class PartlyGoneError(UpstreamError):
    """Some mirrors say that they have no such file, and the others cannot give it."""


class Net:
    """Downloads files over HTTP."""

    def __init__(self, report: Reporter, *, pause: float = 0.5) -> None:
        """Tell progress to `report`; before asking again wait `pause` seconds, then twice that."""
        self._report = report
        self._pause = pause
        self._down: set[str] = set()

    def download(self, urls: str | Sequence[str], target: Path, *, size: int, sha256: str) -> None:
        """Download one file; it is whole and right when this returns.

        Raises UpstreamError naming the URL. What has arrived stays in `TARGET.part` for the next
        time, unless it is wrong.
        """
        listed = (urls,) if isinstance(urls, str) else tuple(urls)
        self.fetch_all([Item(listed, target, size, sha256, target.name)], jobs=1)

    def fetch_all(
        self,
        items: Sequence[Item],
        *,
        jobs: int = CONNECTIONS,
        then: Callable[[Item], None] | None = None,
    ) -> None:
        """Download files side by side; `then` is called, in some thread, as each one is whole.

        The first failure stops all of them and is raised; so does Ctrl-C.
        """
        if not items:
            return
        label = items[0].label if len(items) == 1 else f"{len(items)} files"
        task = self._report.begin(
            f"download {label}", total=sum(i.size or 0 for i in items), unit="B"
        )
        try:
            with redirects.session() as session:
                session.headers["Accept-Encoding"] = "identity"
                crowd = Crowd(task, session)
                side_by_side(items, jobs, crowd, lambda item: self._obtain(item, crowd, then))
        except BaseException:
            task.close("failed")
            raise
        task.close()

    def _obtain(self, item: Item, crowd: Crowd, then: Callable[[Item], None] | None) -> None:
        """Try the mirrors in turn; those that were found down before are asked last."""
        urls = sorted(item.urls, key=lambda url: urlsplit(url).netloc in self._down)
        transfer = _Transfer(item, crowd)
        problems: list[_RefusedError] = []
        for url in urls:
            try:
                self._from_mirror(url, transfer)
            except _RefusedError as error:
                problems.append(error)
            else:
                if then:
                    then(item)
                return
        raise _refusal(item, problems)

    def _from_mirror(self, url: str, transfer: "_Transfer") -> None:
        """Download from one mirror, with patience for what may be better the next time."""
        host = urlsplit(url).netloc
        attempts = 1 if host in self._down else ATTEMPTS
        for attempt in range(1, attempts + 1):
            try:
                transfer.ask(url)
            except _BrokenError as error:
                if attempt == attempts:
                    self._down.add(host)
                    raise _RefusedError(f"cannot download `{url}`: {error}") from error
                transfer.crowd.rest(self._pause * 2 ** (attempt - 1))
            else:
                self._down.discard(host)
                return


class _BrokenError(Exception):
    """A transfer broke off; the same mirror may be asked again."""


class _RefusedError(Exception):
    """A mirror is given up for a file: it says no, or what it serves is wrong."""


class _WrongError(_RefusedError):
    """What a mirror serves has another hash."""

    def __init__(self, url: str, sha256: str) -> None:
        super().__init__(f"`{url}` has wrong bytes (sha256 {sha256})")
        self.sha256 = sha256


class _MissingError(_RefusedError):
    """A mirror says that it has no such file."""


def _refusal(item: Item, problems: Sequence[_RefusedError]) -> UpstreamError:
    """Make the error for a file that no mirror gives."""
    missing = [problem for problem in problems if isinstance(problem, _MissingError)]
    if missing and len(missing) == len(problems):
        return GoneError(item)
    if item.size is None and problems and isinstance(last := problems[-1], _WrongError):
        # Nothing but its hash was said of it, so a person has said it.
        return WrongBytesError(item, last.sha256)
    hint, told = "try again later, or set another mirror", "; ".join(map(str, problems))
    if missing:
        return PartlyGoneError(f"cannot get {item.label}: {told}", hint=hint)
    return UpstreamError(told or f"no mirror is known for `{item.label}`", hint=hint)


class _Transfer:
    """One file on its way, from one mirror or another."""

    def __init__(self, item: Item, crowd: Crowd) -> None:
        self.crowd = crowd
        self._item = item
        self._told = 0

    def ask(self, url: str) -> None:
        """Ask a mirror for what is missing, check the whole, and move it to its place."""
        part = self._item.part
        with disk_errors(part.parent):
            part.parent.mkdir(parents=True, exist_ok=True)
            with part.open("a+b") as file:
                digest, resumed = self._complete(url, file)
            if digest == self._item.sha256:
                part.rename(self._item.target)
                return
            part.unlink()
        if resumed:
            # The beginning may have come from another mirror: this one gets a chance to do it all.
            raise _BrokenError("the pieces of two transfers do not fit")
        raise _WrongError(url, digest)

    def _complete(self, url: str, file: IO[bytes]) -> tuple[str, bool]:
        """Fill the file up; give its sha256 and whether some of it was there before."""
        hasher = hashlib.sha256()
        if self._item.size is None:
            os.ftruncate(file.fileno(), 0)  # nobody can tell whether it was whole
        offset = self._reuse(file, hasher.update)
        if offset == self._item.size:
            return hasher.hexdigest(), True
        with self._open(url, offset) as response:
            if offset and not _continues(response, offset):
                os.ftruncate(file.fileno(), 0)
                offset, hasher = 0, hashlib.sha256()
                if response.status_code != 200:
                    raise _BrokenError("the mirror does not continue a broken transfer")
            self._check_answer(url, response, offset)
            position = offset
            for chunk in _chunks(response):
                self.crowd.go_on()
                position += len(chunk)
                if position > self._most:
                    file.flush()
                    os.ftruncate(file.fileno(), 0)
                    raise _RefusedError(f"`{url}` is larger than {self._most} bytes")
                file.write(chunk)
                hasher.update(chunk)
                self._tell(position)
        promised = self._promised(response) if self._item.size is None else self._item.size
        if position < promised:
            raise _BrokenError(f"it ended after {position} of {promised} bytes")
        return hasher.hexdigest(), offset > 0

    @property
    def _most(self) -> int:
        return CEILING if self._item.size is None else self._item.size

    def _promised(self, response: "requests.Response") -> int:
        length = response.headers.get("Content-Length", "")
        return number(length, _LARGEST) or 0

    def _reuse(self, file: IO[bytes], update: Callable[[bytes], None]) -> int:
        """Take in what an earlier transfer left; give its size."""
        if os.fstat(file.fileno()).st_size > self._most:
            os.ftruncate(file.fileno(), 0)
        file.seek(0)
        while chunk := file.read(CHUNK):
            update(chunk)
        self._tell(file.tell())
        return file.tell()

    def _open(self, url: str, offset: int) -> "requests.Response":
        import requests

        headers = {"Range": f"bytes={offset}-"} if offset else {}
        try:
            return self.crowd.session.get(url, headers=headers, stream=True, timeout=TIMEOUTS)
        except (requests.exceptions.InvalidSchema, requests.exceptions.InvalidURL) as error:
            raise _RefusedError(f"`{url}` is no URL to download from") from error
        except requests.RequestException as error:
            raise _BrokenError(_why(error)) from error
        except redirects.InwardError as error:
            raise _RefusedError(str(error)) from error

    def _check_answer(self, url: str, response: "requests.Response", offset: int) -> None:
        """See whether the mirror is about to send the file that is meant."""
        status = response.status_code
        if status in TRANSIENT:
            raise _BrokenError(f"status {status}")
        if status in {404, 410}:
            raise _MissingError(f"the mirror has no `{url}`")
        if status not in {200, 206}:
            raise _RefusedError(f"the mirror refuses `{url}` with status {status}")
        length = number(response.headers.get("Content-Length", ""), _LARGEST)
        if length is None or self._item.size is None:
            return
        if offset + length != self._item.size:
            raise _RefusedError(
                f"`{url}` has {offset + length} bytes, not {self._item.size} as expected"
            )

    def _tell(self, position: int) -> None:
        """Tell progress; bytes that come a second time do not count."""
        if position > self._told:
            self.crowd.advance(position - self._told)
            self._told = position


def _continues(response: "requests.Response", offset: int) -> bool:
    """Tell whether an answer starts where we left off (RFC 9110, section 14.4).

    An answer that is no file at all is left to the check of the status.
    """
    if response.status_code == 206:
        return response.headers.get("Content-Range", "").startswith(f"bytes {offset}-")
    return response.status_code not in {200, 416}


def _chunks(response: "requests.Response") -> Iterator[bytes]:
    import urllib3

    try:
        yield from pieces(response)
    except SlowError as error:
        raise _BrokenError("the mirror sends next to nothing") from error
    except urllib3.exceptions.HTTPError as error:
        raise _BrokenError(_why(error)) from error


def _why(error: BaseException) -> str:
    """Dig out what the system said; the outer errors are long and repeat the URL."""
    import requests
    import urllib3

    if isinstance(error, (requests.Timeout, urllib3.exceptions.TimeoutError)):
        return "the mirror does not answer in time"
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, OSError) and inner.errno and inner.strerror:
            return inner.strerror.lower()
        inner = inner.__context__
    return "the connection broke off"


def use_proxy(url: str) -> None:
    """Have all that downloads from now on, programs included, go by this HTTP proxy."""
    for name in ("http_proxy", "https_proxy"):
        os.environ[name] = url


def proxy_environment() -> Mapping[str, str]:
    """Give the proxies in use, for programs that download for us."""
    names = ("http_proxy", "https_proxy", "no_proxy")
    return {name: os.environ[name] for name in names if name in os.environ}
