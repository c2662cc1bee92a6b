"""Allowances of the kernel that all containers draw on together, raised where they are small."""

import contextlib
import os
from pathlib import Path

_SYSCTL = Path("/proc/sys")
_WANTED = {
    # Each systemd takes about ten. They count for the container's root, and again for who made its
    # user namespace, which is root for all of them (user_namespaces(7), inotify(7)).
    "fs/inotify/max_user_instances": 65536,
}


def too_small() -> dict[str, int]:
    """Give what is smaller here than it should be, as sysctl(8) names it, and what it should be."""
    found = {}
    for name, wanted in _WANTED.items():
        with contextlib.suppress(OSError, ValueError):
            if int((_SYSCTL / name).read_text(encoding="ascii")) < wanted:
                found[name.replace("/", ".")] = wanted
    return found


def may_raise() -> bool:
    """Tell whether this process may raise them."""
    return all(os.access(_SYSCTL / name, os.W_OK) for name in _WANTED)


def raise_all() -> None:
    """Raise what is too small until the next boot; where that is forbidden it stays."""
    for name, wanted in too_small().items():
        with contextlib.suppress(OSError):
            (_SYSCTL / name.replace(".", "/")).write_text(str(wanted), encoding="ascii")
