"""What is mounted where, as the kernel lists it for a process."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

_ESCAPED = re.compile(rb"\\([0-7]{3})")
"""Space, tab, newline and backslash in a name (proc_pid_mountinfo(5), getmntent(3))."""


class Mount(msgspec.Struct, frozen=True):
    """One line of the list."""

    number: int
    """As `mnt_id` in /proc/PID/fdinfo."""
    device: str
    """Of the file system, as `major:minor`."""
    point: Path
    kind: str
    """The type of the file system."""
    source: str
    options: tuple[str, ...]
    """Those of the file system; of a version 1 cgroup, its controllers are among them."""


def mount_table(pid: int | None = None) -> Iterator[Mount]:
    """List what a process sees as mounted, this one by default; what covers others comes later."""
    for line in Path(f"/proc/{pid or 'self'}/mountinfo").read_bytes().splitlines():
        left, _, right = line.partition(b" - ")
        number, _, device, _, point, *_ = left.split(b" ")
        kind, source, options = map(_name, right.split(b" "))
        yield Mount(
            int(number), _name(device), Path(_name(point)), kind, source, tuple(options.split(","))
        )


def _name(escaped: bytes) -> str:
    return os.fsdecode(_ESCAPED.sub(lambda found: bytes((int(found[1], 8),)), escaped))
