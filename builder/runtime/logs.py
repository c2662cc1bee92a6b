"""Logs: what a container wrote to its console."""

import os
from collections.abc import Iterator

from builder.host import watch
from builder.host.places import Places
from builder.runtime.container import folder_of, load


def console(places: Places, name: str) -> Iterator[str]:
    """Give the lines of the console so far, the oldest first."""
    load(places, name)
    try:
        data = (folder_of(places, name) / "console.log").read_bytes()
    except FileNotFoundError:
        return
    yield from _lines(data)[0]


def tail(places: Places, name: str, count: int = 30) -> str:
    """Give the last lines of the console, for an error message."""
    return "\n".join(list(console(places, name))[-count:])


def follow(places: Places, name: str) -> Iterator[str]:
    """Give the lines of the console so far, then each new one until the container is gone."""
    load(places, name)
    path = folder_of(places, name) / "console.log"
    rest = b""
    offset = 0
    with watch.Folder(path.parent) as changes:
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
            lines, rest = _lines(rest + data)
            yield from lines
            changes.wait()


def _lines(data: bytes) -> tuple[list[str], bytes]:
    """Put together what conmon wrote as `TIME STREAM F|P TEXT`, and what is not yet whole.

    P marks a part of a line that goes on in the next record.
    """
    *records, rest = data.split(b"\n")
    lines: list[str] = []
    part = b""
    for record in records:
        fields = record.split(b" ", 3)
        if len(fields) < 4:
            continue
        part += fields[3]
        if fields[2] == b"F":
            lines.append(_plain(part))
            part = b""
    if part:
        lines.append(_plain(part))
    return lines, rest


def _plain(line: bytes) -> str:
    """Take out what would steer the terminal of whoever reads this; the container wrote it."""
    import re

    text = line.decode(errors="replace").rstrip("\r")
    text = re.sub(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)?|[@-Z\\-_=>78])", "", text)
    return "".join(char for char in text if char == "\t" or char.isprintable())
