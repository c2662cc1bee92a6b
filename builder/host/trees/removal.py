"""Removing folders with all that is in them, however hostile that is.

What a container leaves may be nested deeper than a path, a recursion or the open files of a process
allow; so what lies too deep is first moved up. Links are removed and never followed, and nothing is
reached by a path of more than one name, so that no race leads out of the folder.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

# Not shutil.rmtree: it recurses without end, and importing it costs a tenth of a container's start.

_DEEP = 64
"""How far down folders are emptied where they are."""


def remove_tree(folder: Path) -> None:
    """Remove a folder and all below it; a missing one is fine, and so is one that is a file."""
    with _opened(folder.parent, None) as parent:
        if parent is not None:
            remove_below(parent, folder.name)


def remove_below(parent: int, name: str) -> None:
    """Remove the file or folder of that name in an open folder; a missing one is fine."""
    with contextlib.suppress(FileNotFoundError):
        try:
            os.unlink(name, dir_fd=parent)
        except IsADirectoryError:
            with _opened(name, parent) as folder:
                if folder is not None:
                    while names := os.listdir(folder):
                        _empty(folder, names, top=folder, depth=0)
            os.rmdir(name, dir_fd=parent)


def _empty(folder: int, names: list[str], *, top: int, depth: int) -> None:
    for name in names:
        try:
            os.unlink(name, dir_fd=folder)
        except FileNotFoundError:
            continue
        except IsADirectoryError:
            if depth == _DEEP:
                # Its turn comes when the top is looked at again.
                os.rename(name, f".deep-{os.urandom(8).hex()}", src_dir_fd=folder, dst_dir_fd=top)
                continue
            with _opened(name, folder) as inner:
                if inner is not None:
                    _empty(inner, os.listdir(inner), top=top, depth=depth + 1)
            os.rmdir(name, dir_fd=folder)


@contextlib.contextmanager
def _opened(path: str | Path, parent: int | None) -> Iterator[int | None]:
    """Open a folder; None when it is not there."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | (0 if parent is None else os.O_NOFOLLOW)
    try:
        fd = os.open(path, flags, dir_fd=parent)
    except FileNotFoundError:
        yield None
        return
    try:
        yield fd
    finally:
        os.close(fd)
