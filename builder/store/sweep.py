"""What the store takes up, and what of it may go; deleting anything loses only time."""

import contextlib
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from builder.host.files import disk_errors, locked
from builder.host.removal import remove_tree
from builder.store import Store

KINDS = {
    "blobs": "downloaded packages, packed templates, overlay files",
    "expanded": "packages taken apart",
    "trees": "root file systems",
    "frames": "where packed templates have which files, to copy instead of compress",
    "partial": "downloads that are not whole yet",
    "actions": "which inputs gave which result",
}

DAY = 86400


@dataclass(frozen=True, slots=True)
class Usage:
    """What one kind of object takes up."""

    kind: str
    count: int
    size: int
    """Bytes on disk; a file that several trees share counts once, for the first kind above."""


def usage(store: Store) -> list[Usage]:
    """Measure the store."""
    seen: set[int] = set()
    return [
        Usage(kind, sum(1 for _ in _objects(store, kind)), _size(store.root / kind, seen))
        for kind in KINDS
    ]


def prune(store: Store, *, unused_since: float) -> int:
    """Remove objects last used before a time (seconds since 1970); gives how many went.

    A build that runs meanwhile has just touched what it uses.
    """
    gone = 0
    with disk_errors(store.root), locked(store.downloading, wait=False) as idle:
        for kind in KINDS:
            if kind == "partial" and not idle:
                continue  # somebody downloads just now
            doomed = [path for path in _objects(store, kind) if _last_use(path) < unused_since]
            gone += sum(_remove(path, store) for path in doomed)
    return gone


def _last_use(path: Path) -> float:
    try:
        # What is just being written has a dot before its name (`host.files.replace`).
        return path.stat().st_mtime + (DAY if path.name.startswith(".") else 0)
    except FileNotFoundError:  # somebody else has just removed it
        return math.inf


def _remove(path: Path, store: Store) -> bool:
    with store.draft() as draft:
        # Moved away first, so that nobody ever sees half an object.
        try:
            path.rename(draft / "doomed")
        except FileNotFoundError:
            return False
        if (draft / "doomed").is_dir():
            remove_tree(draft / "doomed")
    return True


def _objects(store: Store, kind: str) -> Iterator[Path]:
    """Give what a folder holds, but for its lock."""
    pattern = "*/*" if kind in ("blobs", "actions") else "*"
    for path in (store.root / kind).glob(pattern):
        if path != store.downloading:
            yield path


def _size(folder: Path, seen: set[int]) -> int:
    total = 0
    # A build or a prune may remove things meanwhile.
    with contextlib.suppress(FileNotFoundError), os.scandir(folder) as found:
        for one in found:
            with contextlib.suppress(FileNotFoundError):
                status = one.stat(follow_symlinks=False)
                if one.is_dir(follow_symlinks=False):
                    total += _size(Path(one.path), seen)
                elif status.st_ino not in seen:
                    seen.add(status.st_ino)
                    total += status.st_blocks * 512
    return total
