"""Writes a tree as a reproducible tar.zst: equal trees give equal bytes, anywhere.

The manifest comes first, so that a reader knows what it has before it unpacks anything; then every
folder, followed by what is in it, in the order of the names' bytes. Owners are numbers, no time is
later than the manifest's epoch, and nothing depends on who packs, in which folder, with which
locale, or on which file system.
"""

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from builder.formats import headers
from builder.formats.frames import FRAME, LEVEL, FrameWriter, Written
from builder.formats.headers import Member, Run, encode, padding
from builder.formats.policy import RefusedError, check, shown
from builder.model.errors import StageError
from builder.model.manifest import MANIFEST_PATH, Manifest
from builder.model.value import canonical

suffix = ".tar.zst"
"""How the names of such files end."""

HOLE = 64 << 10
"""Holes are whole blocks of this size that hold only zeros, whatever the disk says: two copies of a
file may differ in where their holes are, and still are equal."""

SPARSE = 1 << 20
"""A file is written as sparse when it has holes of at least this size in all."""

_ZEROS = bytes(HOLE)
_MANIFEST = MANIFEST_PATH.encode()

_KINDS = {
    stat.S_IFDIR: headers.FOLDER,
    stat.S_IFLNK: headers.SYMLINK,
    stat.S_IFCHR: headers.CHAR,
    stat.S_IFBLK: headers.BLOCK_DEVICE,
    stat.S_IFIFO: headers.FIFO,
    stat.S_IFREG: headers.FILE,
}
"""What a tarball can hold: everything but sockets, which mean nothing without their process."""


@dataclass(frozen=True, slots=True)
class _Seen:
    path: bytes
    status: os.stat_result | None
    """None for a parent folder of the manifest that the tree itself does not have."""


def pack(
    tree: Path, manifest: Manifest, out: Path, *, level: int = LEVEL, jobs: int = 1
) -> Written:
    """Write a tree to a file, in frames of about 4 MiB that end between entries."""
    root = os.fsencode(tree)
    with out.open("wb") as file, FrameWriter(file, level=level, jobs=jobs) as frames:
        _write_manifest(frames, manifest)
        first: dict[tuple[int, int], bytes] = {}  # inode to the path that has its data
        for seen in _entries(root):
            if frames.held >= FRAME:
                frames.cut()
            _write_entry(frames, root, seen, epoch=manifest.epoch, first=first)
        frames.write(bytes(2 * headers.BLOCK))
        return frames.finish()


def _write_manifest(frames: FrameWriter, manifest: Manifest) -> None:
    data = canonical(manifest)
    member = _own(_MANIFEST, headers.FILE, manifest.epoch)
    member.size = len(data)
    frames.write(encode(member) + data + padding(len(data)))


def _own(path: bytes, kind: bytes, mtime: int) -> Member:
    """Make an entry that is not in the tree."""
    mode = 0o755 if kind == headers.FOLDER else 0o644
    return Member(name=b"./" + path, kind=kind, mode=mode, uid=0, gid=0, mtime=mtime)


def _entries(root: bytes) -> list[_Seen]:
    """Give the root folder and all below it that a tarball holds, sorted."""
    found = {b"": os.lstat(root)}
    found.update(_walk(root, b""))
    held = [
        _Seen(path, status)
        for path, status in found.items()
        if stat.S_IFMT(status.st_mode) in _KINDS and path != _MANIFEST
    ]
    parts = _MANIFEST.split(b"/")
    parents = [b"/".join(parts[:depth]) for depth in range(1, len(parts))]
    for path in parents:
        if path in found and not stat.S_ISDIR(found[path].st_mode):
            raise StageError(f"the tree cannot be packed: `/{path.decode()}` must be a folder")
    missing = [_Seen(path, None) for path in parents if path not in found]
    # A slash sorts before all else, so that what is in `a` follows it at once: GNU tar sets the
    # time of a folder as soon as an entry outside it comes, such as `a-b`.
    return sorted(held + missing, key=lambda one: one.path.replace(b"/", b"\0"))


def _walk(folder: bytes, prefix: bytes) -> Iterator[tuple[bytes, os.stat_result]]:
    with os.scandir(folder) as found:
        for one in found:
            status = one.stat(follow_symlinks=False)
            path = prefix + one.name
            yield path, status
            if stat.S_ISDIR(status.st_mode):
                yield from _walk(one.path, path + b"/")


def _write_entry(
    frames: FrameWriter,
    root: bytes,
    seen: _Seen,
    *,
    epoch: int,
    first: dict[tuple[int, int], bytes],
) -> None:
    if (status := seen.status) is None:
        frames.write(encode(_own(seen.path + b"/", headers.FOLDER, epoch)))
        return
    member = _member(root, seen.path, status, epoch)
    if member.kind != headers.FILE:
        frames.write(encode(member))
        return
    if status.st_nlink > 1:
        # Trees of the store share inodes with one another, so the link count says nothing; only a
        # second path in this very tree is a hard link.
        origin = first.setdefault((status.st_dev, status.st_ino), member.name)
        if origin != member.name:
            member.kind, member.link, member.xattrs = headers.LINK, origin, {}
            frames.write(encode(member))
            return
    _write_file(frames, root + b"/" + seen.path, member, status.st_size)


def _member(root: bytes, path: bytes, status: os.stat_result, epoch: int) -> Member:
    full = root + b"/" + path
    member = Member(
        name=b"./" + path,
        kind=_KINDS[stat.S_IFMT(status.st_mode)],
        mode=stat.S_IMODE(status.st_mode),
        uid=status.st_uid,
        gid=status.st_gid,
        mtime=max(0, min(status.st_mtime_ns // 10**9, epoch)),
        xattrs=_xattrs(full),
    )
    if member.kind == headers.FOLDER and path:
        member.name += b"/"
    elif member.kind == headers.SYMLINK:
        member.link = os.readlink(full)  # noqa: PTH115  # the path is bytes
    try:
        check(member)
    except RefusedError as why:
        # What no reader would take must not be written either.
        raise StageError(f"the tree cannot be packed: `/{shown(path)}` {why}") from why
    return member


def _xattrs(path: bytes) -> dict[str, bytes]:
    """Read the attributes that belong to a template: capabilities and the user's own.

    The others (labels, overlayfs's notes, access lists) are this machine's.
    """
    found: dict[str, bytes] = {}
    for name in os.listxattr(path, follow_symlinks=False):
        if name == headers.CAPABILITY:
            value = os.getxattr(path, name, follow_symlinks=False)
            found[name] = headers.plain_capability(value) or value
        elif name.startswith("user.") and not name.startswith("user.overlay."):
            found[name] = os.getxattr(path, name, follow_symlinks=False)
    return found


def _write_file(frames: FrameWriter, path: bytes, member: Member, size: int) -> None:
    member.size = size
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if size < SPARSE:
            data = os.read(fd, size + 1) if size else b""
            _check_length(path, len(data), size)
            frames.write(encode(member) + data + padding(size))
            return
        runs = _runs(fd, size)
        if size - sum(length for _, length in runs) >= SPARSE:
            member.runs = runs
        if size >= FRAME:
            # A large file has frames of its own, which change only when the file does.
            frames.cut()
        frames.write(encode(member))
        _write_runs(frames, fd, [(0, size)] if member.runs is None else member.runs, path)
    finally:
        os.close(fd)


def _write_runs(frames: FrameWriter, fd: int, runs: list[Run], path: bytes) -> None:
    total = 0
    for start, length in runs:
        for at in range(start, start + length, FRAME):
            wanted = min(FRAME, start + length - at)
            data = os.pread(fd, wanted, at)
            _check_length(path, len(data), wanted)
            frames.write(data)
            total += wanted
            if frames.held >= FRAME:
                frames.cut()
    frames.write(padding(total))


def _runs(fd: int, size: int) -> list[Run]:
    """Find where a file has data; what the disk calls a hole need not be read (lseek(2))."""
    runs: list[Run] = []
    at = 0
    while at < size:
        try:
            data = os.lseek(fd, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                break
            raise
        end = min(size, -(-os.lseek(fd, data, os.SEEK_HOLE) // HOLE) * HOLE)
        for start in range(data // HOLE * HOLE, end, HOLE):
            block = os.pread(fd, min(HOLE, size - start), start)
            if block == _ZEROS[: len(block)]:
                continue
            if runs and sum(runs[-1]) == start:
                runs[-1] = (runs[-1][0], runs[-1][1] + len(block))
            else:
                runs.append((start, len(block)))
        at = end
    return runs


def _check_length(path: bytes, got: int, wanted: int) -> None:
    if got != wanted:
        raise StageError(f"`{os.fsdecode(path)}` changed while it was packed")
