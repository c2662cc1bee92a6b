"""The store: what was made before, kept under the hash of what it is.

Four rules hold at every instant, also between two system calls:

1. An object is there whole or not at all.
2. An object's name is the hash of its bytes (a tree's: of its manifest).
3. An action is written only after the object that it points to.
4. Deleting any part of the store loses time, never truth.

Below the root lie `blobs/` (files), `trees/` (root file systems, each with its manifest),
`expanded/` (packages taken apart, named by the package file's hash), `frames/` (which packed file
has which frames), `actions/` (which inputs gave which result), `drafts/` (one locked folder for
each live process), `flights/` (locks) and `uses/` (who works with the store just now).
"""

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import msgspec

from builder.host.pids import undisturbed
from builder.host.trees.durable import Disk, disk_errors, locked, private, replace
from builder.host.trees.removal import remove_tree
from builder.model.errors import HostError
from builder.model.value import Digest, hex_of
from builder.store import use
from builder.store.manifest import (
    Entry,
    TreeManifest,
    clamp_times,
    describe,
    known_files,
    look,
    read_tree,
)

LAST_TIME = 1 << 40
"""Seconds since 1970 that no file time reaches."""

LAYOUT = "v1"
"""Raised when the layout changes, so that an older store is left alone."""

FOLDERS = ("blobs", "trees", "expanded", "frames", "actions", "drafts", "flights", "partial")


class DamagedError(HostError):
    """An object of the store is not what its name says."""


class Store:
    """Remembers objects and results below one folder; any number of processes may share it."""

    def __init__(self, root: Path, *, disk: Disk | None = None) -> None:
        self.root = root / LAYOUT
        self._disk = disk or Disk()
        self.grown = False
        """Whether an object has come in through this value."""
        self.checked: set[str] = set()
        """Hashes of files that this process has written or read: they need not be read again."""
        with disk_errors(self.root):
            private(self.root)
            for name in FOLDERS:
                (self.root / name).mkdir(parents=True, exist_ok=True)
            use.prepare(self.root)
        self._sweep_drafts()

    @property
    def partial(self) -> Path:
        """The folder of downloads that are not whole yet, named by their sha256."""
        return self.root / "partial"

    @property
    def downloading(self) -> Path:
        """The lock of whoever downloads into `partial`."""
        return self.partial / "lock"

    def in_use(self) -> contextlib.AbstractContextManager[None]:
        """Say that what is touched from now on is needed until the block ends: nobody prunes it."""
        return use.lease(self.root)

    # Objects

    def blob(self, sha256: str) -> Path | None:
        """Give the file with this hash, or None; the file must not be changed."""
        path = self._blob_path(sha256)
        return path if self._use(path) else None

    def keep_blob(self, draft: Path, sha256: str) -> Path:
        """Move a draft file in; the caller has just computed its hash (hex digits)."""
        path = self._blob_path(sha256)
        with disk_errors(self.root):
            draft.chmod(0o444)
            self._disk.sync(draft)
            self._move_in(draft, path)
        self.checked.add(sha256)
        return path

    def tree(self, digest: Digest) -> Path | None:
        """Give the folder of a tree, or None; nothing below it must be changed."""
        path = self._tree_path(digest)
        return path / "root" if self._use(path) else None

    def tree_manifest(self, digest: Digest) -> TreeManifest:
        """Read what a tree holds; raises FileNotFoundError for an unknown tree."""
        data = (self._tree_path(digest) / "manifest.json").read_bytes()
        if TreeManifest.digest(data) != digest:
            raise DamagedError(f"the manifest of the tree {digest[:19]}… is damaged")
        return TreeManifest.decode(data)

    def keep_tree(
        self,
        draft: Path,
        *,
        epoch: int,
        base: Digest | None = None,
        packages: Iterable[str] = (),
    ) -> Digest:
        """Move a draft folder in as a tree, in which no time exceeds `epoch`.

        Files that it shares with the tree `base` or with expanded packages (by their sha256) are
        not read again: these never change, and a shared inode means the same content.
        """
        with disk_errors(self.root):
            known = self._known(base, packages)
            os.utime(draft, (epoch, epoch))
            seen = look(draft)
            clamp_times(draft, seen, epoch=epoch)
            manifest = describe(draft, seen, epoch=epoch, known=known)
            data = manifest.encode()
            digest = manifest.digest(data)
            path = self._tree_path(digest)
            if self._use(path):
                remove_tree(draft)
                return digest
            with self.draft() as folder:
                self._disk.rename(draft, folder / "root")
                self._disk.write(folder / "manifest.json", data)
                self._disk.sync_filesystem(folder)
                self._move_in(folder, path)
        return digest

    def expanded(self, sha256: str) -> Path | None:
        """Give the folder of an expanded package, by the package file's hash, or None."""
        path = self.root / "expanded" / sha256
        return path / "package" if self._use(path) else None

    def keep_expanded(self, draft: Path, sha256: str) -> Path:
        """Move a draft folder in as the expansion of the package file with this hash.

        The folder is synced with the first tree that is made of it.
        """
        path = self.root / "expanded" / sha256
        with disk_errors(self.root), self.draft() as folder:
            data = read_tree(draft, epoch=LAST_TIME).encode()
            (folder / "manifest.json").write_bytes(data)
            self._disk.rename(draft, folder / "package")
            self._move_in(folder, path)
        return path / "package"

    def expanded_manifest(self, sha256: str) -> TreeManifest | None:
        """Read what an expanded package held when it was kept, if that was written down."""
        path = self.root / "expanded" / sha256 / "manifest.json"
        with contextlib.suppress(FileNotFoundError, msgspec.DecodeError):
            return TreeManifest.decode(path.read_bytes())
        return None

    def _known(self, base: Digest | None, packages: Iterable[str]) -> dict[tuple[int, int], Entry]:
        """Gather the files of trees and packages that need not be read again."""
        known: dict[tuple[int, int], Entry] = {}
        for sha256 in packages:
            folder = self.root / "expanded" / sha256 / "package"
            if manifest := self.expanded_manifest(sha256):
                with contextlib.suppress(FileNotFoundError):  # pruned meanwhile, or damaged
                    known |= known_files(folder, manifest)
        if base is not None:
            folder = self._tree_path(base) / "root"
            with contextlib.suppress(FileNotFoundError, DamagedError):
                known |= known_files(folder, self.tree_manifest(base))
        return known

    def frames(self, name: str) -> bytes | None:
        """Give the note of where frames of this name lie (see `store.frames`), or None."""
        path = self.root / "frames" / name
        try:
            return path.read_bytes() if self._use(path) else None
        except FileNotFoundError:
            return None

    def note_frames(self, notes: Mapping[str, bytes]) -> None:
        """Write down where frames lie, after the file that has them was kept."""
        self.grown = True
        with disk_errors(self.root), self.draft() as draft:
            for name, note in notes.items():
                (draft / name).write_bytes(note)
                (draft / name).rename(self.root / "frames" / name)

    def forget_frames(self, name: str) -> None:
        """Forget a note that turned out to be wrong."""
        (self.root / "frames" / name).unlink(missing_ok=True)

    # Actions

    def recall(self, key: Digest) -> bytes | None:
        """Give what was remembered under a key, or None; a damaged note is as good as none."""
        path = self._action_path(key)
        try:
            noted = path.read_bytes() if self._use(path) else b""
        except FileNotFoundError:
            return None
        result, _, check = noted.rpartition(b"\n")
        return result if check == _check_of(result) else None

    def remember(self, key: Digest, result: bytes) -> None:
        """Write down a result, after the objects that it names have been kept."""
        with disk_errors(self.root):
            noted = result + b"\n" + _check_of(result)
            replace(self._action_path(key), noted, disk=self._disk)

    @contextlib.contextmanager
    def flight(self, key: Digest) -> Iterator[None]:
        """Let one process at a time work on a key."""
        path = self.root / "flights" / hex_of(key)
        with locked(path):
            try:
                yield
            finally:
                path.unlink(missing_ok=True)  # who waits for it sees that it has gone

    # Drafts

    @contextlib.contextmanager
    def draft(self) -> Iterator[Path]:
        """Lend an empty folder on the store's file system; what is left in it is removed."""
        stack = contextlib.ExitStack()
        try:
            with disk_errors(self.root), locked(self._drafts_lock), undisturbed():
                outer = Path(tempfile.mkdtemp(dir=self.root / "drafts"))
                stack.callback(_remove_unlocked, outer)
                stack.enter_context(locked(outer / "lock"))
                inner = outer / "draft"
                inner.mkdir()
                stack.callback(remove_tree, inner)
            yield inner
        finally:
            with undisturbed():  # Ctrl-C between two of the callbacks would leave out the others
                stack.close()

    def _sweep_drafts(self) -> None:
        """Remove the drafts of processes that died: their locks are free."""
        folders = list((self.root / "drafts").iterdir())
        if not folders:
            return
        # Under the lock, nobody is between making a folder and locking it.
        with disk_errors(self.root), locked(self._drafts_lock):
            for folder in folders:
                try:
                    with locked(folder / "lock", wait=False, make=False) as free:
                        if free:
                            remove_tree(folder)
                except FileNotFoundError:
                    remove_tree(folder)

    @property
    def _drafts_lock(self) -> Path:
        return self.root / "flights" / "drafts"

    def _move_in(self, draft: Path, path: Path) -> None:
        """Give a draft its name; somebody else may have made the same object meanwhile."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.grown = True
        os.utime(draft)  # what comes in has been used just now, however old its bytes are
        try:
            self._disk.rename(draft, path)
        except OSError:
            if not self._use(path):
                raise
            return
        self._disk.sync(path.parent)

    def _use(self, path: Path) -> bool:
        """Tell whether an object is there, and note that it was used just now."""
        return use.touch(self.root, path)

    def _blob_path(self, sha256: str) -> Path:
        return self.root / "blobs" / sha256[:2] / sha256

    def _tree_path(self, digest: Digest) -> Path:
        return self.root / "trees" / hex_of(digest)

    def _action_path(self, key: Digest) -> Path:
        return self.root / "actions" / hex_of(key)[:2] / f"{hex_of(key)}.json"


def _remove_unlocked(folder: Path) -> None:
    """Remove a draft's folder that holds at most its lock; who sweeps may do so as well."""
    with contextlib.suppress(FileNotFoundError):
        (folder / "lock").unlink(missing_ok=True)
        folder.rmdir()


def _check_of(result: bytes) -> bytes:
    """Give what stands behind a result, to tell whether its bytes are those that were written."""
    return hashlib.sha256(result).hexdigest()[:16].encode()
