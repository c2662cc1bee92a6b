"""Verifying the store: is everything in it still what it was when it was kept?"""

import contextlib
import hashlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from builder.host.trees.durable import disk_errors
from builder.host.trees.removal import remove_tree
from builder.model.errors import HostError
from builder.model.value import Digest, hex_of
from builder.store import LAST_TIME, DamagedError, Store
from builder.store.manifest import Entry, TreeManifest, describe, known_files, look

KINDS = ("expanded", "trees", "blobs")
"""What can be verified; frames are whenever they are used, and a note that is torn is ignored."""

Read = dict[tuple[int, int], Entry]
"""Files that were read since verifying began, by inode: what trees share is read once."""


class RemovedError(HostError):
    """Something in the store was damaged, and is gone now: the same work makes it again."""


@dataclass(frozen=True, slots=True)
class Damage:
    """An object that is no longer what its name says."""

    kind: str
    name: str
    """Of its file or folder in the store."""
    paths: tuple[str, ...]
    """What in it has changed, come or gone."""


def verify(store: Store, kinds: Collection[str] = KINDS) -> Iterator[Damage]:
    """Read all objects of some kinds, remove those that are damaged, and tell of each.

    They are made again when a build next needs them.
    """
    read: Read = {}
    for kind in kinds:
        folder = store.root / kind
        for path in sorted(folder.glob("*/*" if kind == "blobs" else "*")):
            with contextlib.suppress(FileNotFoundError):  # pruned meanwhile
                if paths := _damaged(store, kind, path, read):
                    remove(store, path)
                    yield Damage(kind, path.name, tuple(paths))


def _damaged(store: Store, kind: str, path: Path, read: Read) -> list[str]:
    if kind == "blobs":
        return [] if verify_blob(path) else [path.name]
    if kind == "trees":
        return verify_tree(store, Digest(f"sha256:{path.name}"), read)
    return verify_expanded(store, path.name, read)


def verify_blob(path: Path) -> bool:
    """Tell whether a file's hash is still its name."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == path.name
    except FileNotFoundError:
        raise
    except OSError:  # a disk that cannot read it has lost it
        return False


def verify_tree(store: Store, digest: Digest, read: Read | None = None) -> list[str]:
    """Name the paths of a tree that are not what its manifest says; `.` when that is damaged."""
    try:
        manifest = store.tree_manifest(digest)
    except DamagedError:
        return ["."]
    root = store.root / "trees" / hex_of(digest) / "root"  # to look is not to use
    # The root's own time is the epoch that no other exceeds (`Store.keep_tree`).
    return _differing(root, manifest, manifest.entries[0].mtime, read)


def verify_expanded(store: Store, sha256: str, read: Read | None = None) -> list[str]:
    """Name the paths of an expanded package that have changed since it was kept."""
    folder = store.root / "expanded" / sha256 / "package"
    manifest = store.expanded_manifest(sha256)
    return [] if manifest is None else _differing(folder, manifest, LAST_TIME, read)


def _differing(root: Path, manifest: TreeManifest, epoch: int, read: Read | None) -> list[str]:
    try:
        found = describe(root, look(root), epoch=epoch, known=read)
    except FileNotFoundError:
        raise
    except OSError as error:
        return [str(error.filename)]
    if read is not None:
        read |= known_files(root, found)
    before = {entry.path: entry for entry in manifest.entries}
    now = {entry.path: entry for entry in found.entries}
    return sorted(path for path in before | now if before.get(path) != now.get(path))


def remove(store: Store, path: Path) -> None:
    """Remove an object, whatever is in it."""
    with disk_errors(store.root), store.draft() as draft:
        # Moved away first, so that nobody ever sees half an object.
        path.rename(draft / "damaged")
        remove_tree(draft / "damaged")


def removed(store: Store, problem: str) -> RemovedError:
    """Verify all trees after damage was met in one; give the error that names what was removed.

    Not only that tree: others share its files, and so do the packages that it was made of.
    """
    found = [
        f"{one.kind}/{one.name}: {one.paths[0]}" for one in verify(store, ("expanded", "trees"))
    ]
    return RemovedError(
        f"the cache is damaged: {problem}",
        hint="run the same command again; removed, to be made anew: " + ", ".join(found),
    )
