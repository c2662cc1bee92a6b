"""Reads a tar archive as a stream, strictly: what it does not know, it refuses.

Python's tarfile reads a great deal more, believes what headers say about their own sizes, and does
not notice an archive that ends between two entries; an archive from a stranger needs the opposite.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from builder.formats.tar import headers
from builder.formats.tar.headers import BLOCK, TarMember
from builder.model.errors import RecipeError, TrustError

MOST_RECORDS = 1 << 20
"""The most bytes of PAX records, and of other notes, before one entry."""
_MOST_NOTES = 16
"""Notes before one entry, as entries of their own."""
_MOST_GLOBAL = 1000
"""Notes about all entries; an archive has one for each that it was put together of."""
_DIGITS = 19
"""No number of a sparse file's table has more."""
_LARGEST = (1 << 63) - 1
"""Bytes of a file: what the kernel counts up to."""

_EMPTY = bytes(BLOCK)
_GNU_NAME, _GNU_LINK, _PAX, _PAX_GLOBAL = b"L", b"K", b"x", b"g"
_FILES = (b"0", b"\0", b"7")
_OCTAL = re.compile(rb"\s*([0-7]*)[\s\0]*")
_SECONDS = re.compile(rb"(-?\d{1,12})(\.\d*)?")


class TarStream:
    """Gives the entries of an archive one after the other, and the data of the latest one."""

    def __init__(self, chunks: Iterator[bytes], source: Path, *, most: int) -> None:
        self._chunks = chunks
        self._source = source
        self._left = most
        self._globals = _MOST_GLOBAL
        self._buffer = memoryview(b"")
        self._unread = 0
        self._padding = 0

    def __iter__(self) -> Iterator[TarMember]:
        """Give the entries up to the mark of the end; data that nobody asked for is skipped."""
        while (member := self._next()) is not None:
            yield member

    def data(self, size: int | None = None) -> Iterator[memoryview]:
        """Give that much of the latest entry's data in pieces, or all that is left of it."""
        size = self._unread if size is None else size
        if size > self._unread:
            self._refuse("an entry is shorter than it says inside")
        self._unread -= size
        while size:
            piece = self._piece(size)
            size -= len(piece)
            yield piece

    def take(self, size: int) -> bytes:
        """Give that much of the latest entry's data at once."""
        return b"".join(self.data(size))

    def _next(self) -> TarMember | None:
        records: dict[bytes, bytes] = {}
        left, notes = MOST_RECORDS, _MOST_NOTES
        while True:
            for _ in self.data():
                pass
            self._exactly(self._padding)
            self._padding = 0
            block = self._exactly(BLOCK)
            if block == _EMPTY:
                return None
            member = self._decode(block)
            self._unread = member.size
            self._padding = -member.size % BLOCK
            if member.kind not in (_GNU_NAME, _GNU_LINK, _PAX, _PAX_GLOBAL):
                return self._complete(member, records)
            of_entry = member.kind != _PAX_GLOBAL  # of those nothing is kept
            left, notes = left - member.size * of_entry, notes - of_entry
            self._globals -= not of_entry
            if self._globals < 0:
                self._refuse(f"it has more than {_MOST_GLOBAL} notes about all entries")
            if left < 0 or notes < 0 or member.size > MOST_RECORDS:
                self._refuse(f"an entry has more than 1 MiB of notes, or {_MOST_NOTES} of them")
            self._note(member.kind, self.take(member.size), records)

    def _note(self, kind: bytes, data: bytes, records: dict[bytes, bytes]) -> None:
        """Take in what stands before an entry."""
        if kind == _GNU_NAME:
            records[b"path"] = data.rstrip(b"\0")
        elif kind == _GNU_LINK:
            records[b"linkpath"] = data.rstrip(b"\0")
        elif kind == _PAX:
            records.update(self._records(data))
        elif set(self._records(data)) - {b"comment"}:
            self._refuse("it sets attributes for all entries at once, which no template needs")

    def _decode(self, block: bytes) -> TarMember:
        total = sum(block) - sum(block[148:156]) + 8 * 32
        if self._number(block[148:156]) != total:
            self._refuse("a header is damaged: its checksum is wrong")
        name = _text(block[:100])
        if block[257:263] == b"ustar\0" and (prefix := _text(block[345:500])):
            name = prefix + b"/" + name
        kind = headers.FILE if block[156:157] in _FILES else block[156:157]
        # Older kinds of tar have something else there in entries that are no devices.
        numbers = (block[329:337], block[337:345]) if kind == headers.CHAR else (b"0", b"0")
        return TarMember(
            name=name,
            kind=kind,
            mode=self._number(block[100:108]) & 0o7777,
            uid=self._signed(block[108:116]),
            gid=self._signed(block[116:124]),
            size=self._number(block[124:136]),
            mtime=self._signed(block[136:148]),
            link=_text(block[157:257]),
            device=(self._number(numbers[0]), self._number(numbers[1])),
        )

    def _complete(self, member: TarMember, records: dict[bytes, bytes]) -> TarMember:
        """Let the PAX records have the last word."""
        member.name = records.pop(b"path", member.name)
        member.link = records.pop(b"linkpath", member.link)
        for key in (b"uid", b"gid", b"size"):
            if key in records:
                setattr(member, key.decode(), self._decimal(records.pop(key)))
        if b"mtime" in records:
            if not (seconds := _SECONDS.fullmatch(records.pop(b"mtime"))):
                self._refuse("an entry has a time that is none")
            member.mtime = int(seconds[1])
        member.xattrs = {
            _xattr_name(key): value
            for key, value in records.items()
            if key.startswith(headers.XATTR)
        }
        self._unread = member.size
        self._padding = -member.size % BLOCK
        if sparse := {key: records[key] for key in records if key.startswith(b"GNU.sparse.")}:
            self._spread(member, sparse)
        if any(b"\0" in text for text in (member.name, member.link, *records)):
            self._refuse("an entry has a NUL in a name")
        if member.size > _LARGEST:
            self._refuse("an entry is larger than any file can be")
        return member

    def _spread(self, member: TarMember, records: dict[bytes, bytes]) -> None:
        """Read where the data of a sparse file belongs."""
        version = records.get(b"GNU.sparse.major"), records.get(b"GNU.sparse.minor")
        if version != (b"1", b"0") or b"GNU.sparse.name" not in records:
            self._refuse("a sparse file is written in another way than GNU's format 1.0")
        member.name = records[b"GNU.sparse.name"]
        member.size = self._decimal(records.get(b"GNU.sparse.realsize", b""))
        numbers = self._table()
        member.runs, end = [], 0
        count = next(numbers)
        if count > headers.MOST_RUNS:
            self._refuse(f"a sparse file has more than {headers.MOST_RUNS} pieces")
        for index in range(count):
            start, length = next(numbers), next(numbers)
            if start < end or start + length > member.size:
                self._refuse("the pieces of a sparse file overlap or end after it")
            if not length and index + 1 < count:
                self._refuse("a sparse file has an empty piece in the middle")
            end = start + length
            member.runs.append((start, length))
        if sum(length for _, length in member.runs) != self._unread:
            self._refuse("the pieces of a sparse file are not as long as its data")

    def _table(self) -> Iterator[int]:
        """Give the numbers at the start of a sparse file's data, block by block."""
        rest = b""
        while True:
            if len(rest) > _DIGITS:
                self._refuse("a header is damaged: it has a number that is none")
            *lines, rest = (rest + self.take(BLOCK)).split(b"\n")
            for line in lines:
                yield self._decimal(line)

    def _records(self, data: bytes) -> dict[bytes, bytes]:
        found: dict[bytes, bytes] = {}
        at = 0
        while at < len(data):
            length, space, _ = data[at : at + 9].partition(b" ")
            end = at + (int(length) if length.isdigit() else 0)
            key, equals, value = data[at + len(length) + 1 : end - 1].partition(b"=")
            if not (space and equals and key) or data[end - 1 : end] != b"\n":
                self._refuse("the notes before an entry are damaged")
            found[key] = value
            at = end
        return found

    def _number(self, text: bytes) -> int:
        """Read a number as octal digits, or as GNU tar writes what does not fit in them."""
        if text[0] == 0x80:
            return int.from_bytes(text[1:], "big")
        if not (digits := _OCTAL.fullmatch(text)):
            self._refuse("a header is damaged: it has a number that is none")
        return int(digits[1] or b"0", 8)

    def _signed(self, text: bytes) -> int:
        """Read a number that GNU tar also writes below zero, as a time before 1970."""
        return int.from_bytes(text, "big", signed=True) if text[0] == 0xFF else self._number(text)

    def _decimal(self, text: bytes) -> int:
        if not text.isdigit() or len(text) > _DIGITS:
            self._refuse("a header is damaged: it has a number that is none")
        return int(text)

    def _exactly(self, size: int) -> bytes:
        parts: list[memoryview] = []
        while size:
            piece = self._piece(size)
            parts.append(piece)
            size -= len(piece)
        return b"".join(parts)

    def _piece(self, most: int) -> memoryview:
        while not self._buffer:
            chunk = next(self._chunks, None)
            if chunk is None:
                raise RecipeError(
                    "the archive ends in the middle",
                    at=self._source,
                    hint="it was not copied whole; fetch it again",
                )
            self._left -= len(chunk)
            if self._left < 0:
                raise TrustError("the archive holds more than the limit allows", at=self._source)
            self._buffer = memoryview(chunk)
        piece, self._buffer = self._buffer[:most], self._buffer[most:]
        return piece

    def _refuse(self, problem: str) -> NoReturn:
        raise TrustError(f"the archive is not a sound tar: {problem}", at=self._source)


def _text(data: bytes) -> bytes:
    return data.partition(b"\0")[0]


def _xattr_name(key: bytes) -> str:
    name = key.removeprefix(headers.XATTR).replace(b"%3D", b"=").replace(b"%25", b"%")
    return name.decode(errors="surrogateescape")
