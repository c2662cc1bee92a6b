"""Events: one line for each thing that happened to a container, so that one can look back."""

import contextlib
import fcntl
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from builder.host.places import Places
from builder.host.trees import durable

# One file for all containers, one JSON object a line, written by a single write(2) at its end, so
# lines of processes that write at once never mix (O_APPEND in open(2)). What cannot be written is
# lost and nothing else: no verb fails for it. At its limit the file is put aside. The one put aside
# last stays as it is; older ones are united in one where containers share the room, or one that
# starts over and over would take from the memory of all others.

LIMIT = 4 << 20
"""Bytes of each of the files; so three times as many are kept at most."""

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


class _Named(msgspec.Struct):
    """The one part of an event that tells whose it is."""

    name: str


_NAMED = msgspec.json.Decoder(_Named).decode


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
        fd = _opened(_file(places), stack)
        yield from _before(places, fd)
        if fd is not None:
            yield from _decoded(_lines(fd))


def follow(places: Places) -> Iterator[Event]:
    """Give what happened so far, then each new thing as it happens, for ever."""
    from builder.host.kernel import inotify

    with inotify.Folder(places.data) as changes:
        first = True
        while True:
            with contextlib.ExitStack() as stack:
                fd = _opened(_file(places), stack)
                if first:
                    yield from _before(places, fd)
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


def _before(places: Places, newer: int | None) -> Iterator[Event]:
    """Give the events that came before those of the open file."""
    with contextlib.ExitStack() as stack:
        # The newest first: what moves on in between is rather seen twice than never.
        fds = [_opened(path, stack) for path in reversed([_united(places), *_aside(places)])]
        for fd in reversed(fds):
            # It is the file itself where that was put aside just now.
            if fd is not None and not (newer is not None and os.path.sameopenfile(fd, newer)):
                yield from _decoded(_lines(fd))


def _lines(fd: int) -> list[bytes]:
    with open(fd, "rb", closefd=False) as file:
        return file.read().split(b"\n")


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
            _file(places).rename(places.data / f"events.{time.time_ns()}.jsonl")
            _unite(places)
    except OSError:
        return fd
    os.close(fd)
    return os.open(_file(places), flags, 0o600)


def _unite(places: Places) -> None:
    """Keep of the files before the last one what containers have room for."""
    with durable.locked(places.data / "events.lock", wait=False) as alone:
        done = _aside(places)[:-1]
        if not alone or not done:
            return  # who is at it, or comes next, does it
        sources = [path for path in (_united(places), *done) if path.exists()]
        lines = [line for path in sources for line in path.read_bytes().split(b"\n") if line]
        text = b"".join(line + b"\n" for line in shared_out(lines, LIMIT))
        durable.replace(_united(places), text)
        for path in done:
            path.unlink()


def shared_out(lines: list[bytes], room: int) -> list[bytes]:
    """Choose the newest lines of each container, so that none has more room than it leaves."""
    named = list(_named(lines))
    sizes = Counter[str]()
    for name, line in named:
        sizes[name] += len(line) + 1
    shares = {}
    for number, (name, size) in enumerate(sorted(sizes.items(), key=lambda item: item[1])):
        shares[name] = min(size, room // (len(sizes) - number))
        room -= shares[name]
    chosen = []
    for name, line in reversed(named):
        shares[name] -= len(line) + 1
        if shares[name] >= 0:
            chosen.append(line)
    return chosen[::-1]


def _named(lines: list[bytes]) -> Iterator[tuple[str, bytes]]:
    for line in lines:
        with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError):
            yield _NAMED(line).name, line


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


def _aside(places: Places) -> list[Path]:
    """List the files that were put aside, the oldest first."""
    try:
        names = os.listdir(places.data)
    except FileNotFoundError:
        return []
    found = {
        name: name.split(".")[1]
        for name in names
        if name.startswith("events.") and name.endswith(".jsonl") and name.count(".") == 2
    }
    # Oven once had but one of them, and called it `old`.
    older = [name for name, moment in found.items() if moment == "old"]
    numbered = [name for name, moment in found.items() if moment.isdecimal()]
    return [places.data / name for name in (*older, *sorted(numbered))]


def _united(places: Places) -> Path:
    return places.data / "events.united.jsonl"
