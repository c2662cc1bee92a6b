"""Independent zstd frames: made by several threads, always with the same bytes.

A frame depends only on the data in it, so where frames are cut and the level decide every byte of
the result, and the number of threads none. Concatenated frames are one zstd file (RFC 8878 §3), so
that a frame that was made before can be copied instead of made again.
"""

import hashlib
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from types import TracebackType
from typing import BinaryIO, Self

from builder.host.process.threads import Threads
from builder.store.frames import Frame, FrameGroup


@dataclass(frozen=True, slots=True)
class MadeFrame:
    """A frame's bytes, what is noted down about them, and the size of what is in them."""

    data: bytes
    frame: Frame
    uncompressed: int


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """A file as it was written: its hash in hex digits, its size, and that of what is in it."""

    sha256: str
    size: int
    uncompressed: int
    groups: Mapping[str, FrameGroup]
    """Where the groups of entries lie in it, by their names."""


class FrameWriter:
    """Writes frames in the order in which they are added, made in threads, and hashes the file."""

    def __init__(self, file: BinaryIO, *, jobs: int) -> None:
        self._file = file
        self._pool = Threads(max_workers=jobs)
        self._running: deque[tuple[str, Future[MadeFrame]]] = deque()
        self._most_running = 2 * jobs
        self._hash = hashlib.sha256()
        self._size = 0
        self._uncompressed = 0
        self._groups: dict[str, tuple[int, list[Frame]]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def add(self, make: Callable[[], MadeFrame], name: str = "") -> None:
        """Have a thread make the next frame, of the group of that name; waits when many are due."""
        self._running.append((name, self._pool.submit(make)))
        while len(self._running) > self._most_running:
            self._write_oldest()

    def finish(self) -> WrittenFile:
        """Write all that is still in the threads."""
        while self._running:
            self._write_oldest()
        self._file.flush()
        sha256 = self._hash.hexdigest()
        groups = {
            name: FrameGroup(name=name, blob=sha256, offset=offset, frames=tuple(frames))
            for name, (offset, frames) in self._groups.items()
        }
        return WrittenFile(sha256, self._size, self._uncompressed, groups)

    def _write_oldest(self) -> None:
        name, running = self._running.popleft()
        made = running.result()
        if name:
            self._groups.setdefault(name, (self._size, []))[1].append(made.frame)
        self._file.write(made.data)
        self._hash.update(made.data)
        self._size += len(made.data)
        self._uncompressed += made.uncompressed


def compress(parts: Sequence[bytes], level: int) -> MadeFrame:
    """Make a frame of data."""
    import zstandard

    # The checksum is what `zstd` adds by default: a damaged download is noticed while unpacking.
    compressor = zstandard.ZstdCompressor(level=level, write_checksum=True)
    plain = b"".join(parts)
    data = compressor.compress(plain)
    frame = Frame(size=len(data), sha256=hashlib.sha256(data).hexdigest())
    return MadeFrame(data, frame, len(plain))


def content_size(data: bytes) -> int:
    """Give how much is in a frame, which says so itself."""
    import zstandard

    return zstandard.get_frame_parameters(data).content_size
