"""Changes: what of a tree has changed since a moment, found while others go on changing it."""

import errno
import os
from typing import NamedTuple

from builder.host.kernel.openat2 import BENEATH, NO_CROSSING, NO_SYMLINKS, openat2

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
RACES = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO, errno.EEXIST})
"""What comes of names that are removed, replaced or added meanwhile."""
_RULES = BENEATH | NO_CROSSING | NO_SYMLINKS


class Found(NamedTuple):
    """What is told of a name: its path from the tree's root, itself `""`, and what it stands for.

    A folder comes before what is in it. Of what is no folder, only what has changed is told.
    """

    path: str
    inode: int
    folder: bool
    changed: bool


def open_below(root: int, path: str) -> int:
    """Open a folder of a tree by descriptor; no link is followed, wherever it is in the path."""
    return openat2(root, path, FOLDER, _RULES)


def changes(root: int, since: int | None) -> tuple[list[Found], bool]:
    """List folders and what is not older than a moment; tell whether all could be reached.

    Every name is told of the folder that was really open, so that swapping folders meanwhile puts
    nothing in a wrong one. Without a moment, folders alone are listed.
    """
    found: list[Found] = []
    seen, reached = set[int](), True
    todo = [""]
    while todo:
        path = todo.pop()
        try:
            folder = open_below(root, path)
        except OSError as error:
            if error.errno not in RACES:
                raise
            reached = False
            continue
        try:
            status = os.fstat(folder)
            if status.st_ino in seen:
                continue  # it was moved, and is on the list already
            seen.add(status.st_ino)
            changed = since is not None and status.st_ctime_ns >= since
            found.append(Found(path, status.st_ino, folder=True, changed=changed))
            below = f"{path}/" if path else ""
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        todo.append(below + entry.name)
                    elif since is not None:
                        _look(entry, below, since, found)
        finally:
            os.close(folder)
    return found, reached


def _look(entry: "os.DirEntry[str]", below: str, since: int, found: list[Found]) -> None:
    try:
        status = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return  # whoever removed it has changed the folder
    if status.st_ctime_ns >= since:
        found.append(Found(below + entry.name, status.st_ino, folder=False, changed=True))
