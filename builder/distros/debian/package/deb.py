"""Debian package files: an ar archive with a tar file of control files and one of all others.

They are read here and not by dpkg-deb(1) because of the time that hundreds of programs take to
start. deb(5) says what they look like.
"""

import io
import lzma
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO, cast

from builder.distros.debian.package.members import Ceiling, DebMember, MembersError, watched

PIECE = 1 << 20
"""How many bytes are read or given at once, at most."""

_CONTROL = Ceiling(size=32 << 20, members=200, names=1 << 16)
"""Of the control files; checksums of a hundred thousand files are some ten million bytes."""

_LISTS = frozenset(("conffiles", "md5sums", "sha256sums"))
"""The control files that grow with the package; others may have `_FILE` bytes."""

_FILE = 4 << 20

_LARGEST = 16 << 30
"""The most bytes that a package may unpack to; the largest of Debian's have a quarter of that."""

_RATIO, _LEAST = 100, 64 << 20
"""So many times its own size, but at least so many bytes, may a package unpack to."""

_MEMBERS, _NAMES = 1_000_000, 128 << 20

_TIMES = 1 << 40
"""Seconds since 1970, far beyond what a file may have."""

_MEMORY = 128 << 20
"""The most memory that a decompressor may ask for; `xz -9` needs 65 MB, `zstd -22` all of it."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9+._-]*")
"""`list` would be one, but there dpkg keeps what it has unpacked."""

_PARTS = 100
"""Members of the archive that are looked at; a package has three."""

_MAGIC, _HEADER = b"!<arch>\n", 60


class DebError(Exception):
    """A file is no package, or not one of a kind that is known."""


@dataclass(frozen=True, slots=True)
class ControlFile:
    """A control file, such as `control` or `postinst`."""

    name: str
    mode: int
    mtime: int
    data: bytes


def control_files(deb: Path) -> list[ControlFile]:
    """Give the control files of a package; raises DebError."""
    found: dict[str, tuple[DebMember, bytearray]] = {}

    def seen(one: DebMember) -> bytearray | None:
        name = one.name.removeprefix("./")
        if one.kind == "a folder" and name in {".", ""}:
            return None
        if one.kind != "a file" or not _NAME.fullmatch(name) or name == "list" or name in found:
            raise DebError(f"`{one.name}` is no control file")
        if not 0 <= one.mtime < _TIMES:
            raise DebError(f"`{one.name}` has a time that cannot be")
        if one.size > (_CONTROL.size if name in _LISTS else _FILE):
            raise DebError(f"the control file `{name}` is too large: {one.size} bytes")
        found[name] = one, bytearray()
        return found[name][1]

    try:
        for _ in watched(_inflated(deb, "control.tar"), _CONTROL, seen):
            pass
    except MembersError as error:
        raise DebError(f"damaged control files: {error}") from error
    if "control" not in found:
        raise DebError("there is no control file")
    return [
        ControlFile(name, one.mode & 0o7777, one.mtime, bytes(data))
        for name, (one, data) in found.items()
    ]


def data_tar(deb: Path) -> Iterator[bytes]:
    """Give the tar file of what a package installs, in pieces; raises DebError.

    What it becomes is limited by what it is: `Installed-Size` is only what the package says.
    """
    most = min(_LARGEST, max(_LEAST, _RATIO * deb.stat().st_size))
    try:
        yield from watched(_inflated(deb, "data.tar"), Ceiling(most, _MEMBERS, _NAMES))
    except MembersError as error:
        raise DebError(f"the files of the package: {error}") from error


class _Part:
    """A member of the archive while it is read."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._left = file, size

    def read(self, amount: int = PIECE) -> bytes:
        """Give the next bytes, nothing at the end; zstandard asks for a method of this name."""
        data = self._file.read(min(amount, self._left))
        if len(data) < min(amount, self._left):
            raise DebError("the file ends too early")
        self._left -= len(data)
        return data


def _inflated(deb: Path, name: str) -> Iterator[bytes]:
    """Give what is in a member whose name goes on with how it is compressed."""
    with deb.open("rb") as file:
        suffix, part = _find(file, name)
        try:
            yield from _READERS[suffix](part)
        except (lzma.LZMAError, zlib.error) as error:
            raise DebError(f"damaged {name}{suffix}: {error}") from error


def _find(file: BinaryIO, wanted: str) -> tuple[str, _Part]:
    """Go to the member `wanted`; others before it are left out, as dpkg does with `_…`."""
    if file.read(len(_MAGIC)) != _MAGIC:
        raise DebError("it is not a Debian package file")
    for _ in range(_PARTS):
        if not (header := file.read(_HEADER)):
            break
        name, size = header[:16].decode("ascii", "replace").rstrip(" ").rstrip("/"), header[48:58]
        if len(header) < _HEADER or header[58:] != b"`\n" or not size.strip().isdigit():
            raise DebError("it is a damaged archive")
        suffix = name.removeprefix(wanted)
        if suffix != name:
            if suffix not in _READERS:
                raise DebError(f"`{name}` is compressed in a way that is not known")
            return suffix, _Part(file, int(size))
        file.seek(int(size) + int(size) % 2, io.SEEK_CUR)
    raise DebError(f"there is no {wanted} in it")


def _plain(part: _Part) -> Iterator[bytes]:
    while piece := part.read():
        yield piece


def _xz(part: _Part) -> Iterator[bytes]:
    inflater = lzma.LZMADecompressor(memlimit=_MEMORY)
    while not inflater.eof:
        given = part.read() if inflater.needs_input else b""
        if inflater.needs_input and not given:
            raise DebError("the compressed data ends too early")
        yield inflater.decompress(given, PIECE)


def _gzip(part: _Part) -> Iterator[bytes]:
    inflater, given = zlib.decompressobj(zlib.MAX_WBITS | 16), b""
    while not inflater.eof:
        given = inflater.unconsumed_tail or part.read()
        if not given:
            raise DebError("the compressed data ends too early")
        yield inflater.decompress(given, PIECE)


def _zstd(part: _Part) -> Iterator[bytes]:
    import zstandard

    # Its reader gives no more at once than it is asked for, however well the data is compressed.
    opened = cast("IO[bytes]", part)  # it asks for nothing but `read`
    with zstandard.ZstdDecompressor(max_window_size=_MEMORY).stream_reader(opened) as inflater:
        try:
            while piece := inflater.read(PIECE):
                yield piece
        except zstandard.ZstdError as error:
            raise DebError(f"damaged zstd data: {error}") from error


_READERS = {"": _plain, ".gz": _gzip, ".xz": _xz, ".zst": _zstd}
"""Since stretch Debian's are xz, Ubuntu's zstd since jammy; small ones may be gzip."""
