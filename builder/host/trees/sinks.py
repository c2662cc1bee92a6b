"""Sinks: what is written into and never replaced, such as pipes, terminals and /dev/null."""

import contextlib
import os
import stat
from collections.abc import Callable, Iterator

from builder.model.errors import HostError

_STREAMS = {"/dev/stdout": 1, "/dev/stderr": 2}
_SWALLOW = frozenset(os.makedev(1, minor) for minor in (3, 5, 7))
"""null, zero and full (devices.txt of the kernel)."""
_TERMINALS = frozenset({4, 5, *range(136, 144)})
"""Major numbers; opening other devices could set them off."""
_PIECE = 1 << 20


@contextlib.contextmanager
def opened(path: str) -> Iterator[int | None]:
    """Open a sink; None where there is a file, a folder, a link or nothing.

    A fifo waits for its reader. Anything else is refused: it would be replaced by a file.
    """
    if path in _STREAMS:
        yield _STREAMS[path]
        return
    try:
        handle = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        yield None
        return
    try:
        status = os.fstat(handle)
        if not _is_sink(path, status):
            yield None
            return
        fd = os.open(f"/proc/self/fd/{handle}", os.O_WRONLY | os.O_NOCTTY | os.O_CLOEXEC)
    finally:
        os.close(handle)
    try:
        yield fd
    finally:
        os.close(fd)


def write(source: int, sink: int, advance: Callable[[int], None]) -> None:
    """Write a file's bytes, as many as it has now."""
    left = os.fstat(source).st_size
    while left > 0 and (data := os.read(source, min(_PIECE, left))):
        left -= len(data)
        advance(len(data))
        while data:
            data = data[os.write(sink, data) :]


def _is_sink(path: str, status: os.stat_result) -> bool:
    kind = stat.S_IFMT(status.st_mode)
    if kind in {stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK}:
        return False
    terminal = os.major(status.st_rdev) in _TERMINALS or status.st_rdev in _SWALLOW
    if kind == stat.S_IFIFO or (kind == stat.S_IFCHR and terminal):
        return True
    raise HostError(
        f"`{path}` is a socket or a device, which is not replaced by a file",
        hint="`oven cp NAME:PATH -` writes a tar stream to stdout",
    )
