"""Independent zstd frames: written by several threads, always with the same bytes.

A frame depends only on the data in it, so where frames are cut and the level decide every byte of
the result, and the number of threads none. Concatenated frames are one zstd file (RFC 8878 §3).
"""

import hashlib
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import BinaryIO, Self

FRAME = 4 << 20
"""About how much data a frame holds: smaller ones cost size, larger ones keep cores waiting."""

LEVEL = 3
"""The default level: a minbase tree of 170 MB becomes 51.0 MB in 0.7 s on two cores, as large as
what `zstd` alone makes of it in 1.2 s; level 6 saves 6 % and takes 1.7 s, level 9 saves 9 % and
takes 2.6 s."""


@dataclass(frozen=True, slots=True)
class Written:
    """A file as it was written: its hash in hex digits, its size, and that of what is in it."""

    sha256: str
    size: int
    uncompressed: int


class FrameWriter:
    """Takes data, compresses it frame by frame in threads, and hashes what comes out."""

    def __init__(self, file: BinaryIO, *, level: int, jobs: int) -> None:
        self._file = file
        self._level = level
        self._parts: list[bytes] = []
        self._held = 0
        self._pool = ThreadPoolExecutor(max_workers=jobs)
        self._running: deque[Future[bytes]] = deque()
        self._most_running = 2 * jobs
        self._hash = hashlib.sha256()
        self._size = 0
        self._uncompressed = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    @property
    def held(self) -> int:
        """How much data the frame under way holds."""
        return self._held

    def write(self, data: bytes) -> None:
        """Add data to the frame under way."""
        self._parts.append(data)
        self._held += len(data)

    def cut(self) -> None:
        """End the frame under way, if there is any data in it."""
        if not self._held:
            return
        self._running.append(self._pool.submit(_compress, self._parts, self._level))
        self._uncompressed += self._held
        self._parts, self._held = [], 0
        while len(self._running) > self._most_running:
            self._write_oldest()

    def finish(self) -> Written:
        """End the last frame and write all that is still in the threads."""
        self.cut()
        while self._running:
            self._write_oldest()
        self._file.flush()
        return Written(self._hash.hexdigest(), self._size, self._uncompressed)

    def _write_oldest(self) -> None:
        data = self._running.popleft().result()
        self._file.write(data)
        self._hash.update(data)
        self._size += len(data)


def _compress(parts: list[bytes], level: int) -> bytes:
    import zstandard

    # The checksum is what `zstd` adds by default: a damaged download is noticed while unpacking.
    compressor = zstandard.ZstdCompressor(level=level, write_checksum=True)
    return compressor.compress(b"".join(parts))


def compressor_version() -> str:
    """Name the library that decides the bytes of a frame, with its version."""
    import zstandard

    return "zstd " + ".".join(map(str, zstandard.ZSTD_VERSION))
