"""The conditions of a build: what this process can change of the machine that a build sees."""

import contextlib
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

from builder.host.kernel import mounts
from builder.host.kernel.libc import CLONE_NEWTIME, CLONE_NEWUSER, CLONE_NEWUTS, checked, libc
from builder.host.kernel.mountinfo import mount_table
from builder.host.kernel.namespaces import IDS, current
from builder.host.places import PACKAGE
from builder.model.trial import Conditions

HIGH_ID = 0x60000000
"""Far above what /etc/subuid gives out by default, and below what tools take for negative."""


def apply(conditions: Conditions) -> None:
    """Put this process under conditions; call it before any thread is started.

    The environment is not changed here: a program has to be started with another one.
    """
    os.umask(conditions.umask)
    if conditions.processors is not None:
        some = sorted(os.sched_getaffinity(0))[: conditions.processors]
        os.sched_setaffinity(0, some)
    if conditions.hostname is not None:
        mounts.unshare(CLONE_NEWUTS)
        socket.sethostname(conditions.hostname)
    if conditions.uptime:
        _shift_uptime(conditions.uptime)
    if conditions.first_id is not None:
        _become_root_of(conditions.first_id)  # last: much of /proc is closed to it


def _become_root_of(first_id: int) -> None:
    with mounts.user_namespace(first_id, IDS) as namespace:
        checked(libc.setns(namespace, CLONE_NEWUSER), "setns")
    os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)


def _shift_uptime(seconds: int) -> None:
    """Give programs that are started from now on other monotonic clocks (time_namespaces(7))."""
    mounts.unshare(CLONE_NEWTIME)
    offsets = f"monotonic {seconds} 0\nboottime {seconds} 0\n"
    Path("/proc/self/timens_offsets").write_text(offsets, encoding="ascii")


def why_ids_stay(place: Path | None) -> str | None:
    """Say what keeps a build in `place` from having another range of ids; None if nothing does.

    Without a place, it is one that everybody can reach.
    """
    if current().unprivileged:
        return "only root may take another range"
    # Root of a namespace has no power over files of ids that are not in it.
    needed = [PACKAGE, Path(sys.prefix), Path(sys.base_prefix), *([place] if place else [])]
    for folder in dict.fromkeys(one for path in needed for one in (path, *path.parents)):
        if folder.exists() and not folder.stat().st_mode & 0o001:
            return f"others may not enter `{folder}`"
    return None


def why_uptime_stays() -> str | None:
    """Say why programs cannot be shown another uptime; None if they can."""
    return (
        None if Path("/proc/self/timens_offsets").exists() else "the kernel has no time namespace"
    )


def why_disk_stays(needed: int) -> str | None:
    """Say why a build cannot be done in memory, where folders list their files in another order."""
    words = Path("/proc/meminfo").read_text(encoding="ascii").split()
    free = int(words[words.index("MemAvailable:") + 1]) * 1024
    if free < 2 * needed:
        return f"building in memory takes {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free"
    return None


@contextlib.contextmanager
def in_memory(folder: Path, size: int) -> Iterator[None]:
    """Have a folder lie in memory until the block ends; at most `size` bytes.

    tmpfs lists a folder from its newest file to its oldest one, where ext4 goes by a hash. This
    process has a mount namespace of its own.
    """
    mounts.mount_tmpfs(folder, f"mode=0755,size={size}")
    try:
        yield
    finally:
        mounts.detach(folder)


def give_away(folder: Path, first_id: int) -> None:
    """Make a folder and all below it belong to the root of another range of ids."""
    for path, folders, files in os.walk(folder):
        for name in (*folders, *files):
            os.lchown(Path(path, name), first_id, first_id)
    os.chown(folder, first_id, first_id)


def kind_of(folder: Path) -> str:
    """Name the kind of file system that a folder lies on."""
    above = [one for one in mount_table() if folder == one.point or one.point in folder.parents]
    # Of two on one folder, the later one covers the other.
    above.reverse()
    return max(above, key=lambda one: len(one.point.parts)).kind if above else "unknown"
