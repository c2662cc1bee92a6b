"""Pouring: the bytes of one open file into another, in which holes stay holes."""

import errno
import os
from collections.abc import Callable

_PIECE = 1 << 20
_UNSIZED = 64 << 20
"""Bytes of a file that says it is empty and is not, as those in /proc, at most."""
_BLOCK = 512
"""What `st_blocks` counts (stat(2))."""
_APART = frozenset({errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS, errno.EPERM})
"""Errors of two file systems between which the kernel only sends, and does not copy."""


def _nobody(count: int) -> None:  # whoever wants to know gives another
    """Be told of bytes that were copied."""


def pour(source: int, target: int, advance: Callable[[int], None] = _nobody) -> None:
    """Copy the bytes of a file, as many as it has now; holes stay holes (lseek(2)).

    Blocks are shared where the file system can do that.
    """
    status = os.fstat(source)
    size = status.st_size
    if size == 0:
        _pour_unsized(source, target, advance)
    elif size <= _PIECE and status.st_blocks * _BLOCK >= size:
        _pour_piece(source, target, (0, size), advance)
    else:
        _pour_pieces(source, target, size, advance)


def _pour_pieces(source: int, target: int, size: int, advance: Callable[[int], None]) -> None:
    offset = 0
    while offset < size:
        try:
            start = os.lseek(source, offset, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            break  # the rest is a hole
        offset = min(os.lseek(source, start, os.SEEK_HOLE), size)
        _pour_piece(source, target, (start, offset), advance)
    os.ftruncate(target, size)


def _pour_piece(
    source: int, target: int, piece: tuple[int, int], advance: Callable[[int], None]
) -> None:
    start, end = piece
    send = _copied
    while start < end:
        try:
            count = send(source, target, min(_PIECE, end - start), start)
        except OSError as error:
            if send is _sent or error.errno not in _APART:
                raise
            send = _sent
            continue
        if count == 0:
            break  # it has become shorter
        start += count
        advance(count)


def _copied(source: int, target: int, count: int, start: int) -> int:
    return os.copy_file_range(source, target, count, start, start)


def _sent(source: int, target: int, count: int, start: int) -> int:
    os.lseek(target, start, os.SEEK_SET)
    return os.sendfile(target, source, start, count)


def _pour_unsized(source: int, target: int, advance: Callable[[int], None]) -> None:
    left = _UNSIZED
    while left > 0 and (data := os.read(source, min(_PIECE, left))):
        left -= len(data)
        advance(len(data))
        while data:
            data = data[os.write(target, data) :]
