"""Hierarchies: how the host arranges its cgroups, and which of them are this user's."""

import os
from enum import Enum
from pathlib import Path

from builder.host.kernel import mounts
from builder.host.kernel.filesystems import filesystem_type
from builder.host.kernel.mountinfo import mount_table
from builder.host.kernel.namespaces import current

ROOT = Path("/sys/fs/cgroup")
HOW_USERS_GET_ONE = (
    "log in with the packages dbus-user-session and libpam-systemd installed, or have root say"
    " `loginctl enable-linger YOU`"
)
_CGROUP2_MAGIC = 0x63677270
_WHOLE = 1
"""The inode of a hierarchy's own root; a part of one that is mounted has another."""


class Layout(Enum):
    """How the host arranges its cgroups."""

    UNIFIED = "v2"
    LEGACY = "v1"
    """Version 1 hierarchies, with or without an empty version 2 one beside them."""


def layout() -> Layout:
    """Find out by the type of the file system that is mounted there."""
    return Layout.UNIFIED if filesystem_type(ROOT) == _CGROUP2_MAGIC else Layout.LEGACY


def available() -> bool:
    """Tell whether containers get cgroups of their own.

    Root's do. An ordinary user's do below the highest cgroup around this process that the user
    owns, which systemd's user manager has given away (cgroup-v2.rst, "Delegation").
    """
    return not is_of_user() or delegated() is not None


def is_of_user() -> bool:
    """Tell whether this process is an ordinary user's, as root of a namespace or not yet."""
    return os.geteuid() != 0 or current().unprivileged


def delegated() -> Path | None:
    """Find the highest cgroup around this process that belongs to its user; None without one."""
    top = ROOT if layout() is Layout.UNIFIED else ROOT / "unified"
    lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    path = next((line[3:] for line in lines if line.startswith("0::/")), "/").strip("/")
    found = None
    while path:
        folder = top / path
        if not _is_ours(folder):
            break
        found, path = folder, path.rpartition("/")[0]
    return found


def whole() -> int | None:
    """Open the version 2 hierarchy where the host shows all of it, some 5 ms quicker than anew."""
    folder = ROOT if layout() is Layout.UNIFIED else ROOT / "unified"
    if filesystem_type(folder) != _CGROUP2_MAGIC or not os.access(folder / "cgroup.procs", os.W_OK):
        return None
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    if os.fstat(fd).st_ino != _WHOLE:
        os.close(fd)
        return None
    return fd


def limiting() -> dict[Path, tuple[str, ...]]:
    """Find the version 1 hierarchies that limit containers: root's, unless they are read-only."""
    if is_of_user():
        return {}
    return {folder: words for folder, words in legacy().items() if os.access(folder, os.W_OK)}


def legacy() -> dict[Path, tuple[str, ...]]:
    """Find each version 1 hierarchy that the host mounts, with the controllers that it has."""
    return {
        one.point: one.options
        for one in mount_table()
        if one.kind == "cgroup" and one.point.parent == ROOT
    }


def show_legacy_only(target: Path) -> None:
    """Mount over the host's cgroups, in this namespace, a folder of the version 1 ones alone.

    An OCI runtime would take an emptied `unified` folder for one more version 1 hierarchy, and
    some refuse hosts that have both.
    """
    hierarchies = legacy()
    links = {link.name: link.readlink() for link in ROOT.iterdir() if link.is_symlink()}
    mounts.mount_tmpfs(target, "mode=755")
    for hierarchy in hierarchies:
        copy = target / hierarchy.name
        copy.mkdir()
        mounts.bind(hierarchy, copy)
    for name, goal in links.items():
        (target / name).symlink_to(goal)
    mounts.move(target, ROOT)


def _is_ours(folder: Path) -> bool:
    try:
        owner = folder.stat().st_uid
    except OSError:
        return False
    return owner == os.geteuid() and os.access(folder / "cgroup.procs", os.W_OK)
