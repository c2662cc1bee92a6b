"""What the store takes up, and what of it may go; deleting anything loses only time."""

import contextlib
import os
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from builder.host.trees.durable import disk_errors, locked
from builder.host.trees.removal import remove_tree
from builder.store import Store, use

KINDS = {
    "blobs": "downloaded packages, packed templates, overlay files",
    "expanded": "packages taken apart",
    "trees": "root file systems",
    "frames": "where packed templates have which files, to copy instead of compress",
    "partial": "downloads that are not whole yet",
    "actions": "which inputs gave which result",
    "logs": "what builds said",
}
"""The folders of the store; one that is not here is measured and pruned all the same."""

NO_OBJECTS = frozenset({"drafts", "flights", "uses"})

DAY = 86400


@dataclass(frozen=True, slots=True)
class StoreUsage:
    """What one kind of object takes up."""

    kind: str
    count: int
    size: int
    """Bytes on disk; a file that several objects share counts once, for the first kind above."""
    oldest: float | None
    """When the one was used that was not used for longest, in seconds since 1970."""


@dataclass(frozen=True, slots=True)
class Object:
    """Something in the store that can be removed as a whole."""

    kind: str
    path: Path
    used: float
    """Seconds since 1970."""
    inodes: "array[int]" = field(repr=False)

    @property
    def name(self) -> str:
        """What it is called in the store: its hash, as a rule."""
        return self.path.name.removesuffix(".json")


@dataclass(frozen=True, slots=True)
class Gone:
    """An object that was removed, and how many bytes that gave back."""

    kind: str
    name: str
    used: float
    size: int


@dataclass(frozen=True, slots=True)
class PrunePolicy:
    """What is to go; both may be asked for."""

    unused_since: float | None = None
    """All that was last used before this time, in seconds since 1970."""
    size: int | None = None
    """What was not used for longest, until all of the store takes up no more bytes than this."""


class Survey:
    """All objects of a store, and the bytes that they take up; files may be shared."""

    def __init__(self, store: Store) -> None:
        self.objects: list[Object] = []
        self.size = 0
        """Bytes on disk of all that is left."""
        self._bytes: dict[int, int] = {}
        self._uses: Counter[int] = Counter()
        for kind in _kinds(store):
            for path in _paths(store, kind):
                found = array("Q")
                with contextlib.suppress(FileNotFoundError):  # it has gone just now
                    used = _last_use(path)
                    self._measure(path, found)
                    self.objects.append(Object(kind, path, used, found))
                    self._uses.update(set(found))
        self.size = sum(self._bytes[inode] for inode in self._uses)

    def without(self, one: Object) -> int:
        """Take an object out of the count; gives how many bytes nobody else uses."""
        freed = 0
        for inode in set(one.inodes):
            self._uses[inode] -= 1
            freed += self._bytes[inode] if not self._uses[inode] else 0
        self.size -= freed
        return freed

    def by_kind(self) -> list[StoreUsage]:
        """Sum up each kind."""
        seen: set[int] = set()
        rows = []
        for kind in dict.fromkeys([*KINDS, *(one.kind for one in self.objects)]):
            of_kind = [one for one in self.objects if one.kind == kind]
            inodes = {inode for one in of_kind for inode in one.inodes} - seen
            seen |= inodes
            size = sum(self._bytes[inode] for inode in inodes)
            oldest = min((one.used for one in of_kind), default=None)
            rows.append(StoreUsage(kind, len(of_kind), size, oldest))
        return rows

    def _measure(self, path: Path | str, found: "array[int]") -> None:
        status = os.lstat(path)  # scandir gives text
        found.append(status.st_ino)
        self._bytes[status.st_ino] = status.st_blocks * 512
        if status.st_mode & 0o170000 != 0o040000:
            return
        with os.scandir(path) as inside:
            for one in inside:
                if one.is_dir(follow_symlinks=False):
                    self._measure(one.path, found)
                else:
                    status = one.stat(follow_symlinks=False)
                    found.append(status.st_ino)
                    self._bytes[status.st_ino] = status.st_blocks * 512


def usage(store: Store) -> list[StoreUsage]:
    """Measure the store."""
    return Survey(store).by_kind()


def prune(store: Store, wish: PrunePolicy, *, rehearse: bool = False) -> list[Gone]:
    """Remove what is wished for, the longest unused first; gives what went.

    What was touched since the oldest running build began stays, whatever is wished for. With
    `rehearse` nothing is removed, and what would go is given.
    """
    with disk_errors(store.root), locked(store.downloading, wait=False) as idle:
        limit = use.horizon(store.root)
        survey = Survey(store)
        busy = set() if idle else {"partial"}
        gone = [
            Gone(one.kind, one.name, one.used, survey.without(one))
            for one in _doomed(survey, wish, limit, busy)
            if rehearse or _remove(one, store, limit)
        ]
        if not rehearse:
            _empty_flights(store)
    return gone


def _doomed(survey: Survey, wish: PrunePolicy, limit: float, busy: set[str]) -> Iterator[Object]:
    """Give what is to go; whoever takes it tells the survey before asking for the next one."""
    before = min(limit, wish.unused_since if wish.unused_since is not None else 0)
    for one in sorted(survey.objects, key=lambda one: (one.used, one.kind, one.name)):
        if one.used >= limit or one.kind in busy:
            continue
        if one.used < before or (wish.size is not None and survey.size > wish.size):
            yield one


def _remove(one: Object, store: Store, limit: float) -> bool:
    """Remove an object unless somebody uses it after all."""
    with store.draft() as draft:
        # Moved away first, so that nobody ever sees half an object.
        with use.alone(store.root):
            try:
                if _last_use(one.path) >= limit:
                    return False
                one.path.rename(draft / "doomed")
            except FileNotFoundError:
                return False  # somebody else has just removed it
        if (draft / "doomed").is_dir():
            remove_tree(draft / "doomed")
    return True


def _last_use(path: Path) -> float:
    # What is just being written has a dot before its name (`host.files.replace`).
    return path.lstat().st_mtime + (DAY if path.name.startswith(".") else 0)


def _empty_flights(store: Store) -> None:
    """Remove the lock files of builds that were killed; whoever waits for one makes it anew."""
    for path in _folder(store.root / "flights"):
        if path.name != "drafts":
            with locked(path, wait=False) as free:
                if free:
                    path.unlink(missing_ok=True)


def _kinds(store: Store) -> Iterable[str]:
    there = sorted(path.name for path in store.root.iterdir() if path.is_dir())
    return [name for name in dict.fromkeys([*KINDS, *there]) if name not in NO_OBJECTS]


def _paths(store: Store, kind: str) -> Iterator[Path]:
    """Give what a folder holds, but for its lock."""
    for path in _folder(store.root / kind):
        if len(path.name) == 2 and path.is_dir():  # the first digits of what lies in it
            yield from _folder(path)
        elif path != store.downloading:
            yield path


def _folder(path: Path) -> list[Path]:
    try:
        return sorted(path.iterdir())
    except FileNotFoundError:
        return []
