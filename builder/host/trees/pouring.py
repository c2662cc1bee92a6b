"""Pouring: the bytes of one open file into another, in which holes stay holes."""

import errno
import os
from collections.abc import Callable

_PIECE = 1 << 20
_UNSIZED = 64 << 20
"""Bytes of a file that says it is empty and is not, as those in /proc, at most."""


def _nobody(count: int) -> None:  # whoever wants to know gives another
    """Be told of bytes that were copied."""


def pour(source: int, target: int, advance: Callable[[int], None] = _nobody) -> None:
    """Copy the bytes of a file, as many as it has now; holes stay holes (lseek(2))."""
    size = os.fstat(source).st_size
    if size == 0:
        _pour_unsized(source, target, advance)
        return
    offset = 0
    while offset < size:
        try:
            start = os.lseek(source, offset, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            break  # the rest is a hole
        offset = min(os.lseek(source, start, os.SEEK_HOLE), size)
        os.lseek(target, start, os.SEEK_SET)
        while start < offset:
            count = os.sendfile(target, source, start, min(_PIECE, offset - start))
            if count == 0:
                break  # it has become shorter
            start += count
            advance(count)
    os.ftruncate(target, size)


def _pour_unsized(source: int, target: int, advance: Callable[[int], None]) -> None:
    left = _UNSIZED
    while left > 0 and (data := os.read(source, min(_PIECE, left))):
        left -= len(data)
        advance(len(data))
        while data:
            data = data[os.write(target, data) :]
