"""What the store takes up, and what of it may go; deleting anything loses only time."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from builder.host.removal import remove_tree
from builder.store import Store

KINDS = {
    "blobs": "downloaded packages, packed templates, overlay files",
    "expanded": "packages taken apart",
    "trees": "root file systems",
    "partial": "downloads that are not whole yet",
    "actions": "which inputs gave which result",
}


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
    doomed = [
        path
        for kind in KINDS
        for path in _objects(store, kind)
        if path.stat().st_mtime < unused_since
    ]
    for path in doomed:
        with store.draft() as draft:
            # Moved away first, so that nobody ever sees half an object.
            path.rename(draft / "doomed")
            if not (draft / "doomed").is_dir():
                continue
            remove_tree(draft / "doomed")
    return len(doomed)


def _objects(store: Store, kind: str) -> Iterator[Path]:
    pattern = "*/*" if kind in ("blobs", "actions") else "*"
    return (store.root / kind).glob(pattern)


def _size(folder: Path, seen: set[int]) -> int:
    total = 0
    with os.scandir(folder) as found:
        for one in found:
            status = one.stat(follow_symlinks=False)
            if one.is_dir(follow_symlinks=False):
                total += _size(Path(one.path), seen)
            elif status.st_ino not in seen:
                seen.add(status.st_ino)
                total += status.st_blocks * 512
    return total
