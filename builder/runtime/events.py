"""Events: one line for each thing that happened to a container, so that one can look back."""

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from builder.host.places import Places

# One file for all containers, one JSON object a line, written by a single write(2) at its end, so
# lines of processes that write at once never mix (O_APPEND in open(2)). What cannot be written is
# lost and nothing else: no verb fails for it. At its limit the file becomes the one old one.

LIMIT = 4 << 20
"""Bytes of the file when it is put aside; so twice as many are kept at most."""

Detail = str | int | float | bool | None


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened; what a newer Oven says beyond this is skipped."""

    time: str
    """RFC 3339 in UTC, with milliseconds."""
    name: str
    """The container's."""
    what: str
    """One word, such as `started`."""
    details: dict[str, Detail] = {}


def record(places: Places, name: str, what: str, /, **details: Detail) -> None:
    """Write down that something happened; never fails."""
    event = Event(time=stamp(time.time()), name=name, what=what, details=details)
    line = msgspec.json.encode(event) + b"\n"
    with contextlib.suppress(OSError):
        fd = _open_to_write(places)
        try:
            os.write(fd, line if _ends_whole(fd) else b"\n" + line)
        finally:
            os.close(fd)


def stamp(seconds: float) -> str:
    """Write a time, in seconds since 1970, as events do; such words sort as the times do."""
    whole, thousandths = divmod(int(seconds * 1000), 1000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + f".{thousandths:03}Z"


def read(places: Places) -> Iterator[Event]:
    """Give what happened so far, the oldest first."""
    with contextlib.ExitStack() as stack:
        # Opened before the old one is read: it may be put aside in between.
        fd = _opened(_file(places), stack)
        yield from _put_aside(places, fd)
        if fd is not None:
            with open(fd, "rb", closefd=False) as file:
                yield from _decoded(file.read().split(b"\n"))


def follow(places: Places) -> Iterator[Event]:
    """Give what happened so far, then each new thing as it happens, for ever."""
    from builder.host import watch

    with watch.Folder(places.data) as changes:
        first = True
        while True:
            with contextlib.ExitStack() as stack:
                fd = _opened(_file(places), stack)
                if first:
                    yield from _put_aside(places, fd)
                    first = False
                if fd is None:
                    changes.wait()
                else:
                    yield from _follow_one(fd, _file(places), changes.wait)


def _opened(path: Path, stack: contextlib.ExitStack) -> int | None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    stack.callback(os.close, fd)
    return fd


def _put_aside(places: Places, newer: int | None) -> Iterator[Event]:
    """Give the events of the old file, unless it is the one that is open and comes next."""
    with contextlib.suppress(FileNotFoundError), _old(places).open("rb") as file:
        if newer is None or not os.path.sameopenfile(file.fileno(), newer):
            yield from _decoded(file.read().split(b"\n"))


def _follow_one(fd: int, path: Path, wait: Callable[[], None]) -> Iterator[Event]:
    """Give the lines of one file, until it was put aside and all of it is read."""
    rest = b""
    while True:
        last = not _is_at(fd, path)
        while data := os.read(fd, 1 << 16):
            *lines, rest = (rest + data).split(b"\n")
            yield from _decoded(lines)
        if last:
            return
        wait()


def _open_to_write(places: Places) -> int:
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    fd = os.open(_file(places), flags, 0o600)
    if os.fstat(fd).st_size < LIMIT:
        return fd
    try:
        # Who comes second while one is at it writes to the old file, which is read as well.
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _is_at(fd, _file(places)):
            _file(places).rename(_old(places))
    except OSError:
        return fd
    os.close(fd)
    return os.open(_file(places), flags, 0o600)


def _ends_whole(fd: int) -> bool:
    """Tell whether the last line is whole; a disk that was full may have cut it short."""
    size = os.fstat(fd).st_size
    return size == 0 or os.pread(fd, 1, size - 1) == b"\n"


def _decoded(lines: list[bytes]) -> Iterator[Event]:
    for line in lines:
        with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError):
            yield msgspec.json.decode(line, type=Event)


def _is_at(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False


def _file(places: Places) -> Path:
    return places.data / "events.jsonl"


def _old(places: Places) -> Path:
    return places.data / "events.old.jsonl"
