"""Unpacks a template that may come from a stranger: whatever could do harm is refused by name.

Only the archive itself could do harm here, for nobody else has a way into the draft folder that it
is unpacked into. Every folder on the way to an entry is opened by itself and never through a link,
so that no entry reaches beyond the draft. Whatever goes wrong, nothing is left behind.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import msgspec

from builder.formats.tar import headers
from builder.formats.tar.headers import TarMember
from builder.formats.tar.inflate import Hashing, inflate
from builder.formats.tar.policy import (
    ArchiveLimits,
    Parts,
    RefusedError,
    check,
    parts_of,
    shown,
    tamed,
)
from builder.formats.tar.reader import TarStream
from builder.host.overlayfs import notes
from builder.host.trees.durable import disk_errors
from builder.host.trees.removal import remove_tree
from builder.model.errors import HostError, RecipeError, TrustError
from builder.model.manifest import MANIFEST_PATH, Manifest
from builder.model.names import Name
from builder.model.value import Digest

_LIMITS = ArchiveLimits()

Read = Callable[[int], Iterator[memoryview]]
"""Gives that much of an entry's data."""

_MANIFEST = tuple(MANIFEST_PATH.encode().split(b"/"))
_MOST_MANIFEST = 16 << 20
_MOST_KEPT = 256 << 20
"""Bytes of memory, counted generously, that the folders of an archive may take until its end: some
400,000 of them."""
_LAST_TIME = (1 << 34) - 1
"""What every file system can keep (ext4: the year 2446)."""

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_INTO = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class UnpackedTemplate:
    """What an archive was."""

    manifest: Manifest
    digest: Digest
    """Of the archive's own bytes."""


def unpack(source: Path, target: Path, limits: ArchiveLimits | None = None) -> UnpackedTemplate:
    """Unpack an archive to a folder that does not exist yet.

    Takes tar.zst, tar.gz, tar.xz and tar. Raises TrustError for what could do harm and RecipeError
    for what is no template or not a whole one.
    """
    limits = limits or ArchiveLimits()
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    with _opened(source) as file, disk_errors(target):
        try:
            draft.mkdir(mode=0o700)
            hashing = Hashing(file)
            stream = TarStream(inflate(hashing, source), source, most=limits.size)
            with TreeDraft(draft) as tree:
                manifest = _unpack(stream, tree, source, limits)
            digest = hashing.finish()
            draft.rename(target)
        except BaseException:
            remove_tree(draft)
            raise
    return UnpackedTemplate(manifest, digest)


def unpack_foreign(source: Path, target: Path, *, strip: int, epoch: int) -> None:
    """Unpack somebody's root file system to a folder that does not exist yet.

    `strip` is how many leading folders of every name to leave out. Device nodes and labels are left
    out too: they are the runtime's and the machine's affair. `epoch` is the time of folders that
    the archive does not mention. Takes the same files as `unpack`, and refuses what it refuses.
    """
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    with _opened(source) as file, disk_errors(target):
        try:
            draft.mkdir(mode=0o700)
            stream = TarStream(inflate(Hashing(file), source), source, most=_LIMITS.size)
            with TreeDraft(draft) as tree:
                for member, parts in _foreign(stream, source, strip):
                    try:
                        tree.place(member, parts, stream.data)
                    except RefusedError as why:
                        raise _refused(member, why, source) from why
                tree.finish(epoch)
            draft.rename(target)
        except BaseException:
            remove_tree(draft)
            raise


def newest_time(source: Path, *, strip: int) -> int:
    """Give the newest time in somebody's root file system, in seconds since 1970."""
    with _opened(source) as file:
        stream = TarStream(inflate(Hashing(file), source), source, most=_LIMITS.size)
        newest = max((member.mtime for member, _ in _foreign(stream, source, strip)), default=None)
    if newest is None:
        raise RecipeError("the tarball has no files", at=source)
    return min(max(0, newest), _LAST_TIME)


def _foreign(stream: TarStream, source: Path, strip: int) -> Iterator[tuple[TarMember, Parts]]:
    """Give the entries that are taken, as they are taken."""
    for member in _within(stream, source, _LIMITS):
        try:
            if (tame := tamed(member, strip)) is not None:
                yield tame, check(tame)
        except RefusedError as why:
            raise _refused(member, why, source) from why


def _within(stream: TarStream, source: Path, limits: ArchiveLimits) -> Iterator[TarMember]:
    """Give the entries as long as they are within limits."""
    left = limits.size
    for count, member in enumerate(stream, start=1):
        left -= member.size
        if count > limits.entries or left < 0:
            raise TrustError("the archive holds more than the limit allows", at=source)
        yield member


def read_manifest(source: Path) -> Manifest:
    """Read only what an archive says of itself, at its start."""
    with _opened(source) as file:
        stream = TarStream(inflate(Hashing(file), source), source, most=2 * _MOST_MANIFEST)
        for member in stream:
            try:
                return _manifest(_first_data(stream, member, check(member), source), source)
            except RefusedError as why:
                raise _refused(member, why, source) from why
    raise _no_template("it is empty", source)


def _opened(source: Path) -> BinaryIO:
    try:
        return source.open("rb")
    except OSError as error:
        raise RecipeError(f"cannot read `{source}`: {error.strerror}") from error


def _unpack(stream: TarStream, tree: "TreeDraft", source: Path, limits: ArchiveLimits) -> Manifest:
    manifest: Manifest | None = None
    for member in _within(stream, source, limits):
        try:
            parts = check(member)
            if manifest is None:
                data = _first_data(stream, member, parts, source)
                manifest = _manifest(data, source)
                tree.place(member, parts, partial(_pieces, data))
            else:
                tree.place(member, parts, stream.data)
        except RefusedError as why:
            raise _refused(member, why, source) from why
    if manifest is None:
        raise _no_template("it is empty", source)
    tree.finish(manifest.epoch)
    return manifest


def _first_data(stream: TarStream, member: TarMember, parts: Parts, source: Path) -> bytes:
    plain = member.kind == headers.FILE and member.runs is None
    if not plain or parts != _MANIFEST or member.size > _MOST_MANIFEST:
        raise _no_template(f"its first entry is not `{MANIFEST_PATH}`", source)
    return stream.take(member.size)


def _manifest(data: bytes, source: Path) -> Manifest:
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
        # The name becomes that of a file.
        msgspec.convert(manifest.name, Name)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _no_template(f"its manifest cannot be read: {error}", source) from error
    return manifest


def _refused(member: TarMember, why: RefusedError, source: Path) -> TrustError:
    return TrustError(f"the archive is refused: `{shown(member.name)}` {why}", at=source)


def _no_template(why: str, source: Path) -> RecipeError:
    return RecipeError(
        f"the archive is no template: {why}",
        at=source,
        hint="make one with `oven build` or `oven template export`",
    )


def _pieces(data: bytes, size: int) -> Iterator[memoryview]:
    yield memoryview(data)[:size]


class TreeDraft:
    """A tree under way; folders get their modes and times at the end, when nothing follows."""

    def __init__(self, root: Path) -> None:
        self._open: list[tuple[bytes, int]] = [(b"", os.open(root, _INTO))]
        self._folders: dict[Parts, TarMember | None] = {(): None}
        self._left = _MOST_KEPT

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for _, fd in self._open:
            os.close(fd)

    def place(self, member: TarMember, parts: Parts, read: Read) -> None:
        """Make one entry; raises RefusedError when something is in its way."""
        if member.kind == headers.FOLDER:
            self._into(parts)
            if self._folders[parts] is not None:
                raise RefusedError("appears twice")
            self._folders[parts] = member
            self._keep(sum(map(len, member.xattrs.values())) + 64 * len(member.xattrs))
            return
        folder, name = self._into(parts[:-1]), parts[-1]
        try:
            if member.kind == headers.FILE:
                _make_file(member, folder, name, read)
            elif member.kind == headers.LINK:
                self._link(member, folder, name)
            else:
                _make_other(member, folder, name)
        except FileExistsError:
            raise RefusedError("appears twice") from None
        except OSError as error:
            if error.errno not in {errno.ENAMETOOLONG, errno.EFBIG}:
                raise
            raise RefusedError("is longer than this file system can keep") from None

    def finish(self, epoch: int) -> None:
        """Give folders their owners, modes and times, the deepest first."""
        for parts in sorted(self._folders, reverse=True):
            fd = self._into(parts)
            if member := self._folders[parts]:
                _dress(fd, member)
            else:
                os.fchmod(fd, 0o755)
                os.utime(fd, _times(epoch))

    def _into(self, parts: Parts, *, make: bool = True) -> int:
        """Open a folder, each one above it by itself, and none through a link.

        The last one stays open with those above it, since the next entry is most likely there too.
        """
        shared = 0
        for name, (opened, _) in zip(parts, self._open[1:], strict=False):
            if name != opened:
                break
            shared += 1
        while len(self._open) > shared + 1:
            os.close(self._open.pop()[1])
        for depth in range(shared, len(parts)):
            above, name = self._open[-1][1], parts[depth]
            try:
                fd = os.open(name, _INTO, dir_fd=above)
            except FileNotFoundError:
                if not make:
                    raise
                os.mkdir(name, 0o700, dir_fd=above)
                self._folders[parts[: depth + 1]] = None
                self._keep(sum(map(len, parts[: depth + 1])) + 48 * depth + 512)
                fd = os.open(name, _INTO, dir_fd=above)
            except OSError as error:
                if error.errno not in {errno.ENOTDIR, errno.ELOOP}:
                    raise
                way = shown(b"/".join(parts[: depth + 1]))
                raise RefusedError(f"needs `{way}` to be a folder, and it is not") from None
            self._open.append((name, fd))
        return self._open[-1][1]

    def _keep(self, size: int) -> None:
        """Count what is remembered of folders; a template has some ten megabytes of it."""
        self._left -= size
        if self._left < 0:
            raise RefusedError("is one folder too many, or has one attribute too many")

    def _link(self, member: TarMember, folder: int, name: bytes) -> None:
        """Make a hard link to a file that came before."""
        problem = f"is a hard link to `{shown(member.link)}`, which is no file before it"
        try:
            parts = parts_of(member.link)
            folder = os.dup(folder)  # looking for the other end may close it
            try:
                there = self._into(parts[:-1], make=False)
                found = os.stat(parts[-1], dir_fd=there, follow_symlinks=False)
                if not stat.S_ISREG(found.st_mode):
                    raise RefusedError(problem)
                os.link(parts[-1], name, src_dir_fd=there, dst_dir_fd=folder, follow_symlinks=False)
            finally:
                os.close(folder)
        except (RefusedError, FileNotFoundError, IndexError):
            raise RefusedError(problem) from None


def _make_file(member: TarMember, folder: int, name: bytes, read: Read) -> None:
    fd = os.open(name, _NEW, 0o600, dir_fd=folder)
    try:
        for start, length in [(0, member.size)] if member.runs is None else member.runs:
            at = start
            for piece in read(length):
                at += _write(fd, piece, at)
        if member.runs is not None:
            os.ftruncate(fd, member.size)
        _dress(fd, member)
    finally:
        os.close(fd)


def _write(fd: int, piece: memoryview, at: int) -> int:
    done = 0
    while done < len(piece):
        done += os.pwrite(fd, piece[done:], at + done)
    return done


def _make_other(member: TarMember, folder: int, name: bytes) -> None:
    if member.kind == headers.SYMLINK:
        os.symlink(member.link, name, dir_fd=folder)
    elif member.kind == headers.CHAR:
        notes.make_whiteout(name, folder)
    else:
        os.mkfifo(name, 0o600, dir_fd=folder)
    os.chown(name, member.uid, member.gid, dir_fd=folder, follow_symlinks=False)
    if member.kind != headers.SYMLINK:
        os.chmod(name, member.mode, dir_fd=folder)
    os.utime(name, _times(member.mtime), dir_fd=folder, follow_symlinks=False)


def _dress(fd: int, member: TarMember) -> None:
    """Set the owner first: chown(2) clears set-id bits and capabilities."""
    os.fchown(fd, member.uid, member.gid)
    os.fchmod(fd, member.mode)
    for name, value in member.xattrs.items():
        plain = headers.plain_capability(value) if name == headers.CAPABILITY else None
        try:
            os.setxattr(fd, name, plain or value)
        except OSError as error:
            if error.errno != errno.ENOTSUP:
                raise
            raise HostError(
                f"this file system cannot keep the attribute `{name}`",
                hint="set OVEN_HOME to a folder on another one, such as ext4 or xfs",
            ) from error
    os.utime(fd, _times(member.mtime))


def _times(mtime: int) -> tuple[int, int]:
    seconds = max(0, min(mtime, _LAST_TIME))
    return seconds, seconds
