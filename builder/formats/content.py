"""The content of files as a tarball has it: read, compared with its hash, and without its holes."""

import errno
import hashlib
import os
from collections.abc import Iterator, Sequence

from builder.formats.cuts import FRAME
from builder.formats.tar.headers import Run, few
from builder.formats.tar.policy import shown
from builder.model.errors import StageError
from builder.store.manifest import Entry, as_bytes

HOLE = 64 << 10
"""Holes are whole blocks of this size that hold only zeros, whatever the disk says: two copies of a
file may differ in where their holes are, and still are equal."""

SPARSE = 1 << 20
"""A file is written as sparse when it has holes of at least this size in all."""

_ZEROS = bytes(HOLE)


class ChangedError(StageError):
    """A file is not what the manifest of its tree says."""

    def __init__(self, path: str) -> None:
        super().__init__(f"`/{shown(as_bytes(path))}` is not what it was when the tree was made")


def read(root: bytes, entry: Entry) -> bytes:
    """Read a file at once."""
    fd = _opened(root, entry)
    try:
        data = os.read(fd, entry.size + 1)
    finally:
        os.close(fd)
    if len(data) != entry.size:
        raise ChangedError(entry.path)
    if entry.content and hashlib.sha256(data).hexdigest() != entry.content:
        raise ChangedError(entry.path)
    return data


def runs_of(data: bytes) -> list[Run] | None:
    """Find where a file has data; None when that is so little less that it is not worth it."""
    if len(data) < SPARSE:
        return None
    blocks = ((start, data[start : start + HOLE]) for start in range(0, len(data), HOLE))
    return _sparse(blocks, len(data))


def scan(root: bytes, entry: Entry) -> list[Run] | None:
    """Do for a large file, piece by piece, what `read` and `runs_of` do for a small one."""
    fd = _opened(root, entry)
    try:
        size = os.fstat(fd).st_size
        if size != entry.size:
            raise ChangedError(entry.path)
        if entry.content:
            with open(fd, "rb", buffering=0, closefd=False) as file:  # descriptor
                found = hashlib.file_digest(file, "sha256").hexdigest()
            if found != entry.content:
                raise ChangedError(entry.path)
        return _sparse(_blocks(fd, size), size)
    finally:
        os.close(fd)


def pieces_of(runs: Sequence[Run]) -> list[list[Run]]:
    """Part a large file's data into pieces of about the size of a frame, all equally large."""
    total = sum(length for _, length in runs)
    count = max(1, (total + FRAME // 2) // FRAME)
    each = -(-total // count)
    pieces: list[list[Run]] = [[]]
    room = each
    for start, length in runs:
        at, left = start, length
        while left:
            if not room:
                pieces.append([])
                room = each
            taken = min(left, room)
            pieces[-1].append((at, taken))
            at, left, room = at + taken, left - taken, room - taken
    return pieces


def read_runs(root: bytes, entry: Entry, runs: Sequence[Run]) -> list[bytes]:
    """Read pieces of a large file."""
    fd = _opened(root, entry)
    try:
        found = [os.pread(fd, length, start) for start, length in runs]
    finally:
        os.close(fd)
    if sum(map(len, found)) != sum(length for _, length in runs):
        raise ChangedError(entry.path)
    return found


def _opened(root: bytes, entry: Entry) -> int:
    path = root + b"/" + as_bytes(entry.path)
    try:
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        if error.errno not in {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}:
            raise
        raise ChangedError(entry.path) from None


def _blocks(fd: int, size: int) -> Iterator[tuple[int, bytes]]:
    """Give a file's blocks; what the disk calls a hole need not be read (lseek(2))."""
    at = 0
    while at < size:
        try:
            data = os.lseek(fd, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return
            raise
        end = min(size, -(-os.lseek(fd, data, os.SEEK_HOLE) // HOLE) * HOLE)
        for start in range(data // HOLE * HOLE, end, HOLE):
            yield start, os.pread(fd, min(HOLE, size - start), start)
        at = end


def _sparse(blocks: Iterator[tuple[int, bytes]], size: int) -> list[Run] | None:
    runs: list[Run] = []
    for start, block in blocks:
        if block == _ZEROS[: len(block)]:
            continue
        if runs and sum(runs[-1]) == start:
            runs[-1] = (runs[-1][0], runs[-1][1] + len(block))
        else:
            runs.append((start, len(block)))
    runs = few(runs)
    return runs if size - sum(length for _, length in runs) >= SPARSE else None
