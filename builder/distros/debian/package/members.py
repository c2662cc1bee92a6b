"""The tar file in a package: its members are looked at while its bytes stream by.

They are judged here before tar(1) sees them, so that a small package cannot become an endless one,
and so that nothing is in it that no package may bring (Debian Policy 10.6, and dpkg's own
lib/dpkg/tarfn.c, which knows no more kinds of members than these).
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

BLOCK = 512
_FILE, _FOLDER = "a file", "a folder"
_KINDS = {
    b"0": _FILE, b"\0": _FILE, b"7": _FILE, b"1": "a hard link", b"2": "a link", b"5": _FOLDER,
}  # fmt: skip
_LONG = {b"L": "name", b"K": "target"}
"""GNU tar's way to give the next member a long name, or what it links to one."""
_REFUSED = {
    b"3": "a device", b"4": "a device", b"6": "a named pipe", b"S": "a sparse file",
    b"x": "a pax header", b"g": "a pax header",
}  # fmt: skip
_LONGEST = 4096
"""Bytes of a path (PATH_MAX)."""


class MembersError(Exception):
    """A tar file is damaged, or has what no package may have."""


@dataclass(frozen=True, slots=True)
class Ceiling:
    """How much of everything there may be."""

    size: int
    """Bytes of the tar file."""
    members: int
    names: int
    """Bytes of all names."""


@dataclass(frozen=True, slots=True)
class DebMember:
    """What a header says."""

    name: str
    kind: str
    mode: int
    mtime: int
    size: int


Seen = Callable[[DebMember], bytearray | None]
"""Is told of each member; what it gives back is filled with the member's bytes."""


def watched(
    pieces: Iterable[bytes], ceiling: Ceiling, seen: Seen = lambda _: None
) -> Iterator[bytes]:
    """Hand a tar file on as it comes; raises MembersError as soon as something is wrong."""
    walk = _Walk(ceiling, seen)
    for piece in pieces:
        walk.look(piece)
        yield piece
    walk.finish()


class _Walk:
    """Where in a tar file we are."""

    def __init__(self, ceiling: Ceiling, seen: Seen) -> None:
        self._ceiling, self._seen = ceiling, seen
        self._size = self._members = self._names = 0
        self._begun = bytearray()
        self._take = self._skip = 0
        self._into: bytearray | None = None
        self._long = ""
        self._name: bytes | None = None
        self._over = False

    def look(self, piece: bytes) -> None:
        """Go on to the end of a piece."""
        self._size += len(piece)
        if self._size > self._ceiling.size:
            raise MembersError(f"it unpacks to more than {self._ceiling.size >> 20} MiB")
        at = 0
        while at < len(piece) and not self._over:
            if self._take:
                end = min(len(piece), at + self._take)
                if self._into is not None:
                    self._into += piece[at:end]
                self._take -= end - at
                at = end
                if not self._take and self._long:
                    self._lengthen()
            elif self._skip:
                step = min(self._skip, len(piece) - at)
                self._skip -= step
                at += step
            else:
                end = min(len(piece), at + BLOCK - len(self._begun))
                self._begun += piece[at:end]
                at = end
                if len(self._begun) == BLOCK:
                    self._header(bytes(self._begun))
                    self._begun.clear()

    def finish(self) -> None:
        """See that the end is one."""
        if not self._over:
            raise MembersError("the tar file ends too early")

    def _header(self, block: bytes) -> None:
        if not any(block):
            self._over = True
            return
        if _number(block[148:156]) != sum(block) - sum(block[148:156]) + 8 * ord(" "):
            raise MembersError("this does not look like a tar file")
        name, kind, size = self._named(block), block[156:157], _number(block[124:136])
        if size < 0:  # would lead back to what was read before, for ever
            raise MembersError("this does not look like a tar file: a size is below zero")
        self._take, self._skip = size, -size % BLOCK
        if long := _LONG.get(kind):
            if not 0 < size <= _LONGEST:
                raise MembersError(f"a {long} of {size} bytes is too long")
            self._into, self._long = bytearray(), long
            return
        told, self._name = name.decode("utf-8", "surrogateescape"), None
        if kind not in _KINDS:
            what = _REFUSED.get(kind, "of a kind that is not known")
            raise MembersError(f"`{_shown(told)}` is {what}, which no package may have")
        self._count(name)
        folder = _KINDS[kind] is _FOLDER or (_KINDS[kind] is _FILE and told.endswith("/"))
        what = _FOLDER if folder else _KINDS[kind]
        if size and what is not _FILE:
            raise MembersError(f"`{_shown(told)}` is {what} with {size} bytes in it")
        mode, mtime = _number(block[100:108]), _number(block[136:148])
        self._into = self._seen(DebMember(told, what, mode, mtime, size))

    def _named(self, block: bytes) -> bytes:
        if self._name is not None:
            return self._name
        name = block[:100].partition(b"\0")[0]
        prefix = block[345:500].partition(b"\0")[0] if block[257:263] == b"ustar\0" else b""
        return prefix + b"/" + name if prefix else name

    def _lengthen(self) -> None:
        if self._long == "name" and self._into is not None:
            self._name = bytes(self._into).partition(b"\0")[0]
        self._into, self._long = None, ""

    def _count(self, name: bytes) -> None:
        self._members += 1
        self._names += len(name)
        if self._members > self._ceiling.members:
            raise MembersError(f"it has more than {self._ceiling.members} members")
        if self._names > self._ceiling.names:
            raise MembersError("its names are too long, all taken together")


def _number(field: bytes) -> int:
    """Read a number: octal digits, or for large ones bytes after a sign (GNU tar)."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    if field[0] == 0xFF:
        return int.from_bytes(field, "big", signed=True)
    digits = field.strip(b" \0")
    if digits.strip(b"01234567"):
        raise MembersError("this does not look like a tar file: a number is none")
    return int(digits or b"0", 8)


def _shown(name: str) -> str:
    return name[:200].encode("utf-8", "backslashreplace").decode()
