"""Reads compressed files piece by piece, whichever of a few ways they are compressed in."""

import gzip
import hashlib
import io
import lzma
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from builder.formats.tar.headers import BLOCK
from builder.model.errors import RecipeError
from builder.model.value import Digest

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

CHUNK = 1 << 20

_WINDOW = 128 << 20
"""The most memory that a decompressor may ask for; `zstd --ultra -22` needs this much."""

_ZSTD, _GZIP, _XZ = b"\x28\xb5\x2f\xfd", b"\x1f\x8b", b"\xfd7zXZ\0"


class Hashing(io.RawIOBase):
    """Passes a file's bytes on and hashes them on the way."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hash = hashlib.sha256()

    def readable(self) -> bool:
        """Say that it can be read; io.RawIOBase asks."""
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        """Fill a buffer as far as the file goes."""
        view = memoryview(buffer)
        data = self._file.read(len(view))
        view[: len(data)] = data
        self._hash.update(data)
        return len(data)

    def finish(self) -> Digest:
        """Hash what was not read, and give the digest of the whole file."""
        while self.read(CHUNK):
            pass
        return Digest("sha256:" + self._hash.hexdigest())


def inflate(raw: io.RawIOBase, source: Path) -> Iterator[bytes]:
    """Give what is in a zstd, gzip, xz or plain tar file, in chunks of bounded size.

    A compressed file that ends too early just ends: the tar in it then lacks its end.
    """
    import zstandard

    file = io.BufferedReader(raw, CHUNK)
    try:
        yield from _chunks(file, source)
    except EOFError:
        return
    except (zstandard.ZstdError, lzma.LZMAError, zlib.error, gzip.BadGzipFile) as error:
        raise RecipeError(
            f"the archive is damaged: {error}", at=source, hint="fetch it again"
        ) from error


def _chunks(file: "io.BufferedReader[io.RawIOBase]", source: Path) -> Iterator[bytes]:
    start = file.peek(BLOCK)
    if start.startswith(_ZSTD):
        return _zstd(file)
    if start.startswith(_GZIP):
        return iter(partial(gzip.GzipFile(fileobj=file).read, CHUNK), b"")
    if start.startswith(_XZ):
        return _xz(file)
    if start[257:262] == b"ustar":
        return iter(partial(file.read, CHUNK), b"")
    raise RecipeError(
        "this is no template: neither zstd, gzip, xz nor tar",
        at=source,
        hint="a template is a .tar.zst that `oven build` or `oven template export` made",
    )


def _zstd(file: "io.BufferedReader[io.RawIOBase]") -> Iterator[bytes]:
    import zstandard

    decompressor = zstandard.ZstdDecompressor(max_window_size=_WINDOW)
    with decompressor.stream_reader(file, read_size=CHUNK, read_across_frames=True) as opened:
        yield from iter(partial(opened.read, CHUNK), b"")


def _xz(file: "io.BufferedReader[io.RawIOBase]") -> Iterator[bytes]:
    """Decompress with a ceiling on memory, which lzma.open does not have."""
    decompressor = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_WINDOW)
    while not decompressor.eof:
        data = file.read(CHUNK) if decompressor.needs_input else b""
        if decompressor.needs_input and not data:
            return
        yield decompressor.decompress(data, CHUNK)
