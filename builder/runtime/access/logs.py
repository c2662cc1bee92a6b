"""Logs: what a container wrote to its console, and its journal."""

import os
from collections import deque
from collections.abc import Iterable, Iterator

import msgspec

from builder.host.kernel import inotify
from builder.host.places import Places
from builder.runtime.record.layout import CONSOLE, folder_of
from builder.runtime.recovery import orphans


class LogRange(msgspec.Struct, frozen=True):
    """Which lines are wanted."""

    since: float = 0
    """Seconds since 1970."""
    count: int | None = None
    """How many of those so far, the last ones; None for all."""
    follow: bool = False
    """Whether to go on as new ones come."""


ALL = LogRange()


def console(places: Places, name: str, wanted: LogRange = ALL) -> Iterator[str]:
    """Give the lines of the console so far, the oldest first."""
    folder = orphans.look(places, name).folder
    if wanted.follow:
        return _follow(places, name, wanted)
    try:
        data = (folder / CONSOLE).read_bytes()
    except FileNotFoundError:
        return iter(())
    return iter(_last(_since(_lines(data)[0], wanted), wanted))


def tail(places: Places, name: str, count: int = 30) -> str:
    """Give the last lines of the console, for an error message."""
    return "\n".join(console(places, name, LogRange(count=count)))


def _follow(places: Places, name: str, wanted: LogRange) -> Iterator[str]:
    """Give the lines of the console so far, then each new one until the container is gone."""
    path = folder_of(places, name) / CONSOLE
    rest = b""
    offset = 0
    first = True
    with inotify.Folder(path.parent) as changes:
        while path.parent.exists():
            try:
                with path.open("rb") as file:
                    if os.fstat(file.fileno()).st_size < offset:
                        offset, rest = 0, b""  # conmon began the file anew at its size limit
                    file.seek(offset)
                    data = file.read()
            except FileNotFoundError:
                data = b""
            offset += len(data)
            found, rest = _lines(rest + data)
            lines = _since(found, wanted)
            yield from _last(lines, wanted) if first else lines
            first = False
            changes.wait()


class _Line(msgspec.Struct, frozen=True):
    time: str
    """RFC 3339 in the zone of the host, as conmon writes it."""
    text: str


def _since(lines: Iterable[_Line], wanted: LogRange) -> Iterator[str]:
    for line in lines:
        if not wanted.since or _seconds(line.time) >= wanted.since:
            yield line.text


def _last(lines: Iterable[str], wanted: LogRange) -> Iterable[str]:
    return lines if wanted.count is None else deque(lines, wanted.count)


def _seconds(time: str) -> float:
    from datetime import datetime

    try:
        # Python knows six digits of a second, conmon writes nine.
        return datetime.fromisoformat(time[:26] + time[29:]).timestamp()
    except ValueError:
        return 0.0


def _lines(data: bytes) -> tuple[list[_Line], bytes]:
    """Put together what conmon wrote as `TIME STREAM F|P TEXT`, and what is not yet whole.

    P marks a part of a line that goes on in the next record.
    """
    *records, rest = data.split(b"\n")
    lines: list[_Line] = []
    part, time = b"", ""
    for record in records:
        fields = record.split(b" ", 3)
        if len(fields) < 4:
            continue
        time = time or fields[0].decode(errors="replace")
        part += fields[3]
        if fields[2] == b"F":
            lines.append(_Line(time, plain(part)))
            part, time = b"", ""
    if part:
        lines.append(_Line(time, plain(part)))
    return lines, rest


def plain(line: bytes) -> str:
    """Take out what would steer the terminal of whoever reads this; the container wrote it."""
    import re

    text = line.decode(errors="replace").rstrip("\r")
    text = re.sub(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)?|[@-Z\\-_=>78])", "", text)
    return "".join(char for char in text if char == "\t" or char.isprintable())
