"""Tree manifests: every path of a root file system with all that matters about it."""

import hashlib
import os
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from builder.host.overlayfs import notes
from builder.model.value import Digest, Value, canonical, digest_of_bytes

Kind = Literal["file", "dir", "symlink", "hardlink", "char", "block", "fifo", "socket"]


LARGE = 1 << 18
"""Bytes from which a file is hashed in pieces, and beside others."""

_KINDS: dict[int, Kind] = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "dir",
    stat.S_IFLNK: "symlink",
    stat.S_IFCHR: "char",
    stat.S_IFBLK: "block",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
}


class Entry(Value, frozen=True, kw_only=True, array_like=True):
    """One path of a tree; `path` and `target` are text as `readable` writes it."""

    path: str
    kind: Kind
    mode: int
    uid: int
    gid: int
    mtime: int
    """Seconds, at most the tree's epoch."""
    size: int
    """Bytes of a file; 0 otherwise."""
    content: str
    """A file's sha256, a symbolic link's target, a hard link's first path, a device's numbers."""
    xattrs: tuple[tuple[str, str], ...]
    """Name and value in hex digits, sorted."""


class TreeManifest(Value, frozen=True, kw_only=True):
    """All entries of a tree, in the order of a tarball (see `in_order`); the root is `.`."""

    entries: tuple[Entry, ...]

    def encode(self) -> bytes:
        """Give the canonical bytes."""
        return canonical(self)

    @staticmethod
    def digest(encoded: bytes) -> Digest:
        """Name the tree by its encoded manifest."""
        return digest_of_bytes(encoded)

    @staticmethod
    def decode(data: bytes) -> "TreeManifest":
        """Read a manifest back."""
        return msgspec.json.decode(data, type=TreeManifest)


ROOT = "."
"""The path of the tree's own folder."""

Known = Mapping[tuple[int, int], Entry]
"""Files whose content was read before, by device and inode: what shares an inode is equal."""


@dataclass(frozen=True, slots=True)
class FoundPath:
    """A path as found, before its content is read."""

    path: bytes
    status: os.stat_result


def look(root: Path) -> list[FoundPath]:
    """Find everything in a folder, itself included, in the order of a tarball; enters no link."""
    top = os.fsencode(root)
    found = [FoundPath(b"", os.lstat(top))]
    folders = [b""]
    while folders:
        prefix = folders.pop()
        with os.scandir(top + b"/" + prefix) as names:
            for one in names:
                status = one.stat(follow_symlinks=False)
                path = prefix + one.name
                found.append(FoundPath(path, status))
                if stat.S_ISDIR(status.st_mode):
                    folders.append(path + b"/")
    found.sort(key=lambda one: in_order(one.path))
    return found


def in_order(path: bytes) -> bytes:
    """Give what paths are sorted by: what is in `a` follows it at once, before `a-b`.

    GNU tar sets the time of a folder as soon as an entry outside it comes.
    """
    return path.replace(b"/", b"\0")


def read_tree(root: Path, *, epoch: int) -> TreeManifest:
    """Look at everything in a folder, hashing all files on all cores; follows no link."""
    return describe(root, look(root), epoch=epoch)


def list_tree(root: Path, *, epoch: int) -> TreeManifest:
    """Look at everything in a folder, but read no file: the content of each is empty."""
    reader = _Reader(os.fsencode(root), epoch, {}, lambda _: "")
    return TreeManifest(entries=tuple(map(reader.entry, look(root))))


def describe(
    root: Path, seen: Sequence[FoundPath], *, epoch: int, known: Known | None = None
) -> TreeManifest:
    """Give the manifest of what was seen; what is known is not read again."""
    from builder.host.process.threads import Threads  # slow to import, and needed only here

    top, known = os.fsencode(root), known or {}
    # Hashing lets go of the interpreter's lock only for what is large; for small files a thread
    # costs more than it brings.
    with Threads(max_workers=os.cpu_count()) as pool:
        large = {
            one.path: pool.submit(_hash, top, one)
            for one in seen
            if one.status.st_size >= LARGE
            and stat.S_ISREG(one.status.st_mode)
            and (one.status.st_dev, one.status.st_ino) not in known
        }

        def content(one: FoundPath) -> str:
            return large[one.path].result() if one.path in large else _hash(top, one)

        reader = _Reader(top, epoch, known, content)
        return TreeManifest(entries=tuple(map(reader.entry, seen)))


def known_files(root: Path, manifest: TreeManifest) -> dict[tuple[int, int], Entry]:
    """Tell by inode what the manifest of a folder that never changes says of its files."""
    top = os.fsencode(root) + b"/"
    found = {}
    for entry in manifest.entries:
        if entry.kind in ("file", "symlink"):
            status = os.lstat(top + as_bytes(entry.path))
            # The length is compared for free, and catches a file that was cut off.
            if entry.kind == "symlink" or status.st_size == entry.size:
                found[status.st_dev, status.st_ino] = entry
    return found


def clamp_times(root: Path, seen: Sequence[FoundPath], *, epoch: int) -> None:
    """Take back to `epoch` what was changed after it, as every copy of the tree will have it.

    A file that has several names may be part of another tree and stays as it is.
    """
    top = os.fsencode(root) + b"/"
    latest = epoch * 10**9
    for one in seen:
        alone = one.status.st_nlink == 1 or stat.S_ISDIR(one.status.st_mode)
        if alone and one.status.st_mtime_ns > latest:
            os.utime(top + one.path, (epoch, epoch), follow_symlinks=False)


def _hash(top: bytes, one: FoundPath) -> str:
    fd = os.open(top + b"/" + one.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    if one.status.st_size < LARGE:
        try:
            return hashlib.sha256(os.read(fd, LARGE)).hexdigest()
        finally:
            os.close(fd)
    with open(fd, "rb", buffering=0) as file:  # noqa: PTH123  # opened by descriptor
        return hashlib.file_digest(file, "sha256").hexdigest()


class _Reader:
    """Makes entries, one after the other in the order of a tarball."""

    def __init__(
        self, top: bytes, epoch: int, known: Known, content: Callable[[FoundPath], str]
    ) -> None:
        self._top = top + b"/"
        self._epoch = epoch
        self._known = known
        self._content = content
        self._first: dict[tuple[int, int], str] = {}

    def entry(self, one: FoundPath) -> Entry:
        """Describe one path."""
        status, path = one.status, readable(one.path) or ROOT
        inode = (status.st_dev, status.st_ino)
        kind = _KINDS[stat.S_IFMT(status.st_mode)]
        known = self._known.get(inode) if kind != "dir" else None
        content = ""
        if kind != "dir" and status.st_nlink > 1:
            # Trees share inodes with one another, so only a second path in *this* tree is a link.
            origin = self._first.setdefault(inode, path)
            if kind == "file" and origin != path:
                kind, content = "hardlink", origin
        if not content:
            content = known.content if known else self._read(kind, one)
        return Entry(
            path=path,
            kind=kind,
            mode=stat.S_IMODE(status.st_mode),
            uid=status.st_uid,
            gid=status.st_gid,
            mtime=min(status.st_mtime_ns // 10**9, self._epoch),
            size=status.st_size if kind == "file" else 0,
            content=content,
            xattrs=known.xattrs if known else _xattrs(self._top + one.path),
        )

    def _read(self, kind: Kind, one: FoundPath) -> str:
        if kind == "file":
            return self._content(one)
        if kind == "symlink":
            return readable(os.readlink(self._top + one.path))  # noqa: PTH115  # paths are bytes
        if kind in ("char", "block"):
            return f"{os.major(one.status.st_rdev)}:{os.minor(one.status.st_rdev)}"
        return ""


def _xattrs(path: bytes) -> tuple[tuple[str, str], ...]:
    names = sorted(
        name for name in os.listxattr(path, follow_symlinks=False) if not notes.is_note(name)
    )
    return tuple((name, os.getxattr(path, name, follow_symlinks=False).hex()) for name in names)


def readable(path: bytes) -> str:
    """Write a path as text: UTF-8 as it is, other bytes as latin-1 behind a NUL.

    A NUL can stand in no path, so the two cannot be confused.
    """
    try:
        return path.decode()
    except UnicodeDecodeError:
        return "\0" + path.decode("latin-1")


def as_bytes(text: str) -> bytes:
    """Give back the path that `readable` wrote."""
    return text[1:].encode("latin-1") if text.startswith("\0") else text.encode()
