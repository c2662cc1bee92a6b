"""Package indexes and unrequested locks, which lie beside the store and may be deleted as well."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from builder.host.trees.durable import disk_errors, locked
from builder.host.trees.removal import remove_tree
from builder.store import LAYOUT
from builder.store.sweep import Gone, StoreUsage

# A distribution keeps what it has downloaded of an archive in CACHE/FAMILY/NAME, works on it under
# the lock CACHE/FAMILY/NAME.lock, and writes into the folder each time that it uses it.

KINDS = {"indexes": "what the archives have to offer", "locks": "what was built without a lock"}


def usage(cache: Path) -> list[StoreUsage]:
    """Measure what lies in the cache's folder beside the store."""
    found = {"indexes": list(_indexes(cache)), "locks": list((cache / "locks").glob("*.json"))}
    return [
        StoreUsage(
            kind,
            len(paths),
            sum(_size(path) for path in paths),
            min((path.stat().st_mtime for path in paths), default=None),
        )
        for kind, paths in found.items()
    ]


def prune(cache: Path, *, unused_since: float, rehearse: bool = False) -> list[Gone]:
    """Remove indexes last used before a time (seconds since 1970), unless somebody uses them."""
    gone = []
    for folder in _indexes(cache):
        lock = folder.with_name(f"{folder.name}.lock")
        with disk_errors(folder), locked(lock, wait=False) as free:
            used = folder.stat().st_mtime
            if free and used < unused_since:
                gone.append(Gone("indexes", folder.name, used, _size(folder)))
                if not rehearse:
                    remove_tree(folder)
                    lock.unlink(missing_ok=True)
    return sorted(gone, key=lambda one: one.used)


def _indexes(cache: Path) -> Iterator[Path]:
    for lock in sorted(cache.glob("*/*.lock")):
        folder = lock.with_suffix("")
        if lock.parent.name not in {LAYOUT, "locks"} and folder.is_dir():
            yield folder


def _size(path: Path) -> int:
    """Add up the bytes on disk of a file, or of a folder and all below it."""
    total = 0
    with contextlib.suppress(FileNotFoundError):
        total = path.lstat().st_blocks * 512
        if path.is_dir() and not path.is_symlink():
            with os.scandir(path) as inside:
                total += sum(_size(Path(one.path)) for one in inside)
    return total
