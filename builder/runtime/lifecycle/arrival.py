"""Arrival: how far an init that says nothing of itself has come, seen from outside."""

import contextlib
from pathlib import Path

from builder.host import pids
from builder.host.kernel.crossings import CrossingError
from builder.host.trees.treeio import TreeIO

# Nothing of the container runs for this. All that is read is the container's own, and whoever is
# root in there can only be wrong about itself.

_OPENRC = "run/openrc/softlevel"
_EARLY = {"", "sysinit", "boot"}
"""Runlevels of OpenRC that come before the one that is wanted (openrc(8))."""
_UTMP = "run/utmp"
_USER, _RUN_LVL = 44, b"\1\0"
"""Where a record has its user's name, and the type that it begins with (utmp(5))."""
_AWAITED = {"sysinit", "boot", "bootwait", "wait"}
"""Actions of /etc/inittab that come before the runlevel is reached."""
_FIRST = "/etc/init.d/rcS"
"""What Busybox's init begins with where there is no /etc/inittab."""


def arrived(pid: int) -> bool | None:
    """Tell whether an init has come to the end of its boot; None where nothing tells of that."""
    with TreeIO(Path(f"/proc/{pid}/root"), seen_by=pid) as tree, contextlib.suppress(CrossingError):
        if tree.is_file("etc/runit/2") and not tree.exists("sbin/telinit"):
            return any(_program(child) == "runsvdir" for child in pids.children(pid))
        if _is_at_work(tree, pid):
            return False
        if tree.is_file(_OPENRC):
            return _text(tree, _OPENRC).strip() not in _EARLY
        return _has_runlevel(tree) or None
    return None


def _is_at_work(tree: TreeIO, pid: int) -> bool:
    """Tell whether a child of an init does what the init waits for before it goes on."""
    table = _text(tree, "etc/inittab") or f"::sysinit:{_FIRST}"
    awaited = {"openrc", "init"}  # an `init` is one of sysvinit that becomes something yet
    for line in table.splitlines():
        fields = line.split(":", 3)
        if len(fields) == 4 and not line.startswith("#") and fields[2] in _AWAITED:
            awaited.update(fields[3].split()[:1])
    for child in pids.children(pid):
        if awaited.intersection((_program(child), *pids.words(child))):
            return True
    return False


def _has_runlevel(tree: TreeIO) -> bool:
    data = _bytes(tree, _UTMP)
    place = data.find(b"runlevel\0")
    return place >= _USER and data[place - _USER :].startswith(_RUN_LVL)


def _program(pid: int) -> str:
    return next(iter(pids.words(pid)), "").partition(" ")[0].rpartition("/")[2]


def _text(tree: TreeIO, path: str) -> str:
    return _bytes(tree, path).decode(errors="replace")


def _bytes(tree: TreeIO, path: str) -> bytes:
    try:
        return tree.read_bytes(path)
    except OSError:
        return b""
