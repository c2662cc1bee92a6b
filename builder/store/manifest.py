"""Tree manifests: every path of a root file system with all that matters about it."""

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from builder.model.value import Digest, Value, canonical, digest_of_bytes

Kind = Literal["file", "dir", "symlink", "hardlink", "char", "block", "fifo", "socket"]

OVERLAY_XATTRS = ("trusted.overlay.", "user.overlay.")
"""overlayfs's own notes (Documentation/filesystems/overlayfs.rst); no part of a tree."""

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
    """All entries of a tree, sorted by the bytes of their paths."""

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


@dataclass(frozen=True, slots=True)
class _Seen:
    """A path as found, before its content is read."""

    path: bytes
    status: os.stat_result


def read_tree(root: Path, *, epoch: int) -> TreeManifest:
    """Look at everything below a folder, hashing files on all cores; follows no link."""
    from concurrent.futures import ThreadPoolExecutor  # slow to import, and needed only here

    seen = sorted(_walk(os.fsencode(root), b""), key=lambda one: one.path)
    first: dict[tuple[int, int], str] = {}
    # Hashing lets go of the interpreter's lock only for what is large; for small files a thread
    # costs more than it brings.
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        large = {
            one.path: pool.submit(_hash, root, one)
            for one in seen
            if stat.S_ISREG(one.status.st_mode) and one.status.st_size >= LARGE
        }
        entries = tuple(
            _entry(
                root,
                one,
                large[one.path].result() if one.path in large else _hash(root, one),
                epoch=epoch,
                first=first,
            )
            for one in seen
        )
    return TreeManifest(entries=entries)


def clamp_times(root: Path, *, epoch: int) -> None:
    """Take back to `epoch` what was changed after it, as every copy of the tree will have it.

    A file that has several names may be part of another tree and stays as it is.
    """
    top = os.fsencode(root)
    os.utime(top, (epoch, epoch))
    for one in _walk(top, b""):
        alone = one.status.st_nlink == 1 or stat.S_ISDIR(one.status.st_mode)
        if alone and one.status.st_mtime > epoch:
            os.utime(top + b"/" + one.path, (epoch, epoch), follow_symlinks=False)


def _walk(folder: bytes, prefix: bytes) -> Iterator[_Seen]:
    with os.scandir(folder) as found:
        for one in found:
            status = one.stat(follow_symlinks=False)
            path = prefix + one.name
            yield _Seen(path, status)
            if stat.S_ISDIR(status.st_mode):
                yield from _walk(one.path, path + b"/")


def _hash(root: Path, one: _Seen) -> str:
    if not stat.S_ISREG(one.status.st_mode):
        return ""
    fd = os.open(os.fsencode(root) + b"/" + one.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    if one.status.st_size < LARGE:
        try:
            return hashlib.sha256(os.read(fd, LARGE)).hexdigest()
        finally:
            os.close(fd)
    with open(fd, "rb", buffering=0) as file:  # noqa: PTH123  # opened by descriptor
        return hashlib.file_digest(file, "sha256").hexdigest()


def _entry(
    root: Path, one: _Seen, sha256: str, *, epoch: int, first: dict[tuple[int, int], str]
) -> Entry:
    status = one.status
    kind = _KINDS[stat.S_IFMT(status.st_mode)]
    full = os.fsencode(root) + b"/" + one.path
    content, path = sha256, readable(one.path)
    if kind == "symlink":
        content = readable(os.readlink(full))  # noqa: PTH115  # the path is bytes
    elif kind in ("char", "block"):
        content = f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
    elif kind == "file" and status.st_nlink > 1:
        # Trees share inodes with one another, so only a second path in *this* tree is a link.
        origin = first.setdefault((status.st_dev, status.st_ino), path)
        if origin != path:
            kind, content = "hardlink", origin
    return Entry(
        path=path,
        kind=kind,
        mode=stat.S_IMODE(status.st_mode),
        uid=status.st_uid,
        gid=status.st_gid,
        mtime=min(int(status.st_mtime), epoch),
        size=status.st_size if kind == "file" else 0,
        content=content,
        xattrs=_xattrs(full),
    )


def _xattrs(path: bytes) -> tuple[tuple[str, str], ...]:
    names = sorted(
        name
        for name in os.listxattr(path, follow_symlinks=False)
        if not name.startswith(OVERLAY_XATTRS)
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
