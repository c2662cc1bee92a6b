"""A container as one file: a tar.zst of its layers, with what is known of it at the beginning.

The first entry is `oven.json`; a template may follow as `template.tar.zst`; then come the layers as
folders `layers/NAME` and `upper`, as overlayfs keeps them. Whoever reads one trusts nothing in it.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import BinaryIO

from builder.formats.cuts import FRAME
from builder.formats.frames import FrameWriter, compress
from builder.formats.level import LEVEL
from builder.formats.tar import headers
from builder.formats.tar.headers import Run, TarMember, encode, padding
from builder.formats.tar.inflate import Hashing, inflate
from builder.formats.tar.policy import Parts, RefusedError, check, parts_of, shown
from builder.formats.tar.reader import TarStream
from builder.formats.tar.unpack import TreeDraft
from builder.host.overlayfs import notes
from builder.host.overlayfs.notes import OPAQUE
from builder.host.trees.durable import disk_errors
from builder.model.errors import RecipeError, StageError, TrustError
from builder.store.manifest import FoundPath, look

RECORD, TEMPLATE = b"oven.json", b"template.tar.zst"
MOST_RECORD = 16 << 20
"""Bytes; what they become may be twenty times as much of memory."""
MOST_ENTRIES = 50_000_000
"""As it is called in a parcel, whoever wrote that."""

_PIECE = 1 << 20
_LAST_TIME = 0o77777777777


class Writer:
    """Writes a parcel, entry by entry."""

    def __init__(self, frames: FrameWriter) -> None:
        self._frames = frames
        self._parts: list[bytes] = []
        self._held = 0
        self._inodes: dict[tuple[int, int], bytes] = {}
        self._layers: set[bytes] = set()
        self._count = 0

    def record(self, data: bytes) -> None:
        """Write what is known of the container; it comes first."""
        self._add(encode(_plain(RECORD, len(data))) + data + padding(len(data)))

    def template(self, path: Path) -> None:
        """Write a template's tarball."""
        size = path.stat().st_size
        self._add(encode(_plain(TEMPLATE, size)))
        with path.open("rb") as file:
            self._data(file.fileno(), [(0, size)])

    def layer(self, folder: Path, name: bytes) -> None:
        """Write a folder with all that overlayfs keeps in it; nobody changes it meanwhile.

        Raises StageError for what a reader would refuse.
        """
        top = os.fsencode(folder)
        self._layers.add(name)
        for seen in _listed(folder):
            member = _member(top, seen, name)
            if member is None:
                continue
            self._refuse_what_readers_do(member, name)
            status = seen.status
            if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
                first = self._inodes.setdefault((status.st_dev, status.st_ino), member.name)
                if first != member.name and member.kind == headers.FILE:
                    link = replace(member, kind=headers.LINK, link=first, size=0, xattrs={})
                    self._add(encode(link))
                    continue
            if member.kind == headers.FILE:
                self._file(top + b"/" + seen.path, member)
            else:
                self._add(encode(member))

    def finish(self) -> None:
        """Mark the end; without it, the file is not whole."""
        self._add(bytes(2 * headers.BLOCK))
        self._flush()
        self._frames.finish()

    def _refuse_what_readers_do(self, member: TarMember, layer: bytes) -> None:
        self._count += 1
        try:
            _checked(member, frozenset(self._layers), self._count)
        except RefusedError as why:
            path = member.name.removeprefix(layer)
            raise StageError(
                f"`{shown(path)}` {why}, and no Oven would take it in",
                hint="remove it inside, then export again",
            ) from why

    def _file(self, path: bytes, member: TarMember) -> None:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            runs = headers.few(list(_runs(fd, member.size)))
            if sum(length for _, length in runs) < member.size:
                member = replace(member, runs=runs)
            self._add(encode(member))
            self._data(fd, runs)
        finally:
            os.close(fd)

    def _data(self, fd: int, runs: list[Run]) -> None:
        for start, length in runs:
            at, end = start, start + length
            while at < end:
                piece = os.pread(fd, min(_PIECE, end - at), at)
                if not piece:
                    raise StageError("a file has become shorter while it was written")
                self._add(piece)
                at += len(piece)
        self._add(padding(sum(length for _, length in runs)))

    def _add(self, data: bytes) -> None:
        self._parts.append(data)
        self._held += len(data)
        if self._held >= FRAME:
            self._flush()

    def _flush(self) -> None:
        self._frames.add(partial(compress, self._parts, LEVEL))
        self._parts, self._held = [], 0


@contextmanager
def writing(file: BinaryIO, *, jobs: int) -> Iterator[Writer]:
    """Give a writer; the caller says when it is finished."""
    with FrameWriter(file, jobs=jobs) as frames:
        yield Writer(frames)


class Reader:
    """Reads a parcel that may be anybody's, from front to back, once."""

    def __init__(self, file: BinaryIO, source: Path, *, most: int) -> None:
        """Of `most` bytes at most, once they are decompressed."""
        self._source = source
        self._stream = TarStream(inflate(Hashing(file), source), source, most=most)
        self._members = iter(self._stream)
        self._next = next(self._members, None)

    def record(self) -> bytes:
        """Give the first entry."""
        member = self._next
        if member is None or member.name != RECORD or member.kind != headers.FILE:
            raise RecipeError(
                "this is no exported container: it does not begin with `oven.json`",
                at=self._source,
                hint="`oven export` makes one; a template is taken in by `oven template import`",
            )
        if member.size > MOST_RECORD or member.runs is not None:
            raise TrustError("the record of the container is too large", at=self._source)
        data = self._stream.take(member.size)
        self._next = next(self._members, None)
        return data

    def template(self, target: Path | None) -> bool:
        """Write the template to a file if there is one; None skips it."""
        member = self._next
        if member is None or member.name != TEMPLATE:
            return False
        if member.kind != headers.FILE or member.runs is not None:
            raise TrustError("the template in the archive is no plain file", at=self._source)
        if target is not None:
            with disk_errors(target), target.open("xb") as file:
                for piece in self._stream.data(member.size):
                    file.write(piece)
        self._next = next(self._members, None)
        return True

    def layers(self, folder: Path, names: frozenset[bytes]) -> None:
        """Unpack the layers of these names, such as `upper` and `layers/x`, into an empty folder.

        Raises TrustError for what could do harm, and when one is missing.
        """
        found: set[bytes] = set()
        with TreeDraft(folder) as tree:
            for count, member in enumerate(self._rest(), start=1):
                try:
                    parts = _checked(member, names, count)
                    found.add(_layer_of(parts))
                    tree.place(_noted(member), parts, self._stream.data)
                except RefusedError as why:
                    problem = f"the archive is refused: `{shown(member.name)}` {why}"
                    raise TrustError(problem, at=self._source) from why
            if missing := names - found:
                raise TrustError(
                    f"the archive lacks the layer `{shown(min(missing))}`", at=self._source
                )
            tree.finish(0)

    def _rest(self) -> Iterator[TarMember]:
        if self._next is not None:
            yield self._next
            yield from self._members


def _checked(member: TarMember, names: frozenset[bytes], count: int) -> Parts:
    """Give the path of an entry of a layer that may be unpacked; raises RefusedError."""
    if count > MOST_ENTRIES:
        raise RefusedError("is one entry too many")
    plain = member
    if (value := member.xattrs.get(OPAQUE)) is not None:
        if member.kind != headers.FOLDER or not notes.says_opaque(value):
            raise RefusedError("has a note of overlayfs that means nothing there")
        rest = {key: data for key, data in member.xattrs.items() if key != OPAQUE}
        plain = replace(member, xattrs=rest)
    if member.kind == headers.CHAR:
        if member.device != (0, 0) or member.size or member.xattrs:
            raise RefusedError("is a device node, and a container makes its own")
        plain = replace(member, kind=headers.FIFO)
    parts = check(plain)
    layer = _layer_of(parts)
    if layer not in names:
        raise RefusedError("is in no layer that the container has")
    inner = len(parts) - layer.count(b"/") - 1
    if inner == 0 and member.kind != headers.FOLDER:
        raise RefusedError("stands for a layer, but is not a folder")
    # The other end of a link is looked for from the top, and has to be in a layer too.
    if member.kind == headers.LINK and _layer_of(parts_of(member.link)) not in names:
        raise RefusedError("is a hard link to what is in no layer")
    return parts


def _noted(member: TarMember) -> TarMember:
    """Give an entry with the note of overlayfs under the name that it has for this process."""
    if OPAQUE not in member.xattrs:
        return member
    rest = {key: value for key, value in member.xattrs.items() if key != OPAQUE}
    return replace(member, xattrs={**rest, notes.opaque(): member.xattrs[OPAQUE]})


def _layer_of(parts: Parts) -> bytes:
    return b"/".join(parts[:2]) if parts[:1] == (b"layers",) else b"/".join(parts[:1])


def _listed(folder: Path) -> list[FoundPath]:
    try:
        return look(folder)
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        raise StageError("folders are nested too deeply to be written to a file") from error


def _plain(name: bytes, size: int) -> TarMember:
    return TarMember(name=name, kind=headers.FILE, mode=0o600, uid=0, gid=0, mtime=0, size=size)


_KINDS: dict[int, bytes] = {
    stat.S_IFREG: headers.FILE, stat.S_IFDIR: headers.FOLDER, stat.S_IFLNK: headers.SYMLINK,
    stat.S_IFIFO: headers.FIFO, stat.S_IFCHR: headers.CHAR,
}  # fmt: skip


def _member(top: bytes, seen: FoundPath, name: bytes) -> TarMember | None:
    """Describe a path of a layer; None for a socket, which means nothing without its process."""
    status = seen.status
    kind = _KINDS.get(stat.S_IFMT(status.st_mode))
    if kind is None or (kind == headers.CHAR and not notes.is_whiteout(status)):
        return None
    path = top + b"/" + seen.path if seen.path else top
    member = TarMember(
        name=name + (b"/" + seen.path if seen.path else b""),
        kind=kind,
        mode=stat.S_IMODE(status.st_mode),
        uid=status.st_uid,
        gid=status.st_gid,
        mtime=min(max(0, int(status.st_mtime)), _LAST_TIME),
        size=status.st_size if kind == headers.FILE else 0,
        link=os.readlink(path) if kind == headers.SYMLINK else b"",  # noqa: PTH115  # bytes
    )
    if kind in (headers.FILE, headers.FOLDER):
        member.xattrs = dict(_xattrs(path))
    if max(member.uid, member.gid) > headers.LAST_ID:
        problem = f"`/{shown(member.name)}` has an owner that no container can have"
        raise StageError(problem)
    return member


def _xattrs(path: bytes) -> Iterator[tuple[str, bytes]]:
    for name in os.listxattr(path, follow_symlinks=False):
        if name == notes.opaque():
            if notes.is_opaque(path):
                yield OPAQUE, os.getxattr(path, name, follow_symlinks=False)
        elif headers.of_template(name):
            value = os.getxattr(path, name, follow_symlinks=False)
            if name == headers.CAPABILITY:
                value = headers.plain_capability(value) or value
            yield name, value


def _runs(fd: int, size: int) -> Iterator[Run]:
    """Give where a file has data (lseek(2))."""
    at = 0
    while at < size:
        try:
            start = os.lseek(fd, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return
            raise
        at = min(size, os.lseek(fd, start, os.SEEK_HOLE))
        yield start, at - start
