"""The lock of a container: that of its folder, which the kernel frees when its holder dies."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from builder.host import locks
from builder.host.places import Places
from builder.model.errors import NotFoundError
from builder.runtime.record.layout import folder_of

DEAD_WITHOUT_LOCK = ("new.", "old.", "run.")
"""How names of folders begin whose command has died if nobody has locked them."""


@contextlib.contextmanager
def locked(places: Places, name: str) -> Iterator[None]:
    """Hold a container's lock and repair nothing."""
    with _locked_folder(folder_of(places, name), name):
        yield


def try_lock(folder: Path) -> int | None:
    """Lock a folder without waiting; give the descriptor to close, None when it is taken."""
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    return fd


@contextlib.contextmanager
def _locked_folder(folder: Path, name: str) -> Iterator[None]:
    while True:
        try:
            fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise NotFoundError(
                f"there is no container `{name}`", hint="`oven list` shows those that exist"
            ) from None
        try:
            locks.lock(fd, f"container `{name}`")
            if _same(fd, folder):
                yield
                return
        finally:
            os.close(fd)


def _same(fd: int, folder: Path) -> bool:
    """Tell whether the name still leads to what we locked; it may have been destroyed meanwhile."""
    try:
        return os.path.samestat(os.fstat(fd), folder.stat())
    except FileNotFoundError:
        return False
