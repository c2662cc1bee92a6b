"""The one audited way into a tree that may be hostile: no path given here ever leaves it."""

import contextlib
import errno
import itertools
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import BinaryIO, Self

from builder.host.kernel.crossings import Crossings
from builder.host.kernel.openat2 import BENEATH, IN_ROOT, NO_CROSSING, NO_MAGICLINKS, openat2
from builder.host.trees.pouring import pour
from builder.host.trees.removal import remove_below

# Every path is resolved by openat2(2) as chroot(2) would do it: absolute links and `..` end at the
# tree's own root, and the magic links of /proc are refused. The kernel does this atomically, so a
# folder that becomes a link while a path is walked changes nothing. All work is then done on the
# descriptor of the folder that was found, never on a path again.

_DEPTH = 200
"""Folders within folders that `walk` enters; a tree that has more of them means harm."""
_ENTRIES = 1 << 22
"""Names in one folder; one that has more of them means harm."""

_ITSELF = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC

NOTHING = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG})
"""A path that leads nowhere."""
TREES_FAULT = NOTHING | {errno.EINVAL, errno.EEXIST, errno.EISDIR, errno.EXDEV, errno.EFBIG}
"""Errors that come of what is in a tree, and not of the disk that it lies on."""


class TreeIO:
    """Reads and changes a tree below one folder.

    Paths are relative to the tree's root; a leading `/` means that root. What a system call
    refuses comes out as the OSError that it gives; a file that is no regular one is EINVAL.
    Writing replaces the last component itself and never follows it. In a tree that is no root file
    system, links and `..` that lead out of it are EXDEV (`beneath`). Where a running container
    sees the tree as its root, by its process `seen_by`, a path into a file system of its own that
    need not answer is CrossingError.
    """

    def __init__(self, root: Path, *, beneath: bool = False, seen_by: int | None = None) -> None:
        self.root = root
        self._resolve = BENEATH if beneath else IN_ROOT
        self._fd = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._crossings = None if seen_by is None else Crossings(seen_by, self._fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the root folder."""
        os.close(self._fd)

    # Looking

    def read_bytes(self, path: str, limit: int = 1 << 20) -> bytes:
        """Read a regular file of at most `limit` bytes, following links inside the tree."""
        with self._opened(path, os.O_PATH) as handle:
            status = os.fstat(handle)
            _must_be_file(path, status)
            if status.st_size > limit:
                raise OSError(errno.EFBIG, f"larger than {limit} bytes", path)
            # Opened only now that it is known to be no device or fifo, which opening could set off.
            fd = open_file(handle)
        with open(fd, "rb") as file:  # noqa: PTH123  # opened by descriptor
            data = file.read(limit + 1)
        if len(data) > limit:
            raise OSError(errno.EFBIG, f"larger than {limit} bytes", path)
        return data

    @contextlib.contextmanager
    def opened(self, path: str, *, follow: bool = False) -> Iterator[int]:
        """Open a regular file for reading; what a link leads to only where it is to be followed."""
        with self._opened(path, os.O_PATH | (0 if follow else os.O_NOFOLLOW)) as handle:
            _must_be_file(path, os.fstat(handle))
            fd = open_file(handle)
        try:
            yield fd
        finally:
            os.close(fd)

    def xattrs(self, path: str) -> dict[str, bytes]:
        """Give the extended attributes of a file or a folder; a link counts as having none."""
        with self._opened(path, os.O_PATH | os.O_NOFOLLOW) as handle:
            if stat.S_ISLNK(os.fstat(handle).st_mode):
                return {}  # a link has none that a user could set (xattr(7))
            there = _of(handle)
            return {name: os.getxattr(there, name) for name in os.listxattr(there)}

    def lstat(self, path: str) -> os.stat_result:
        """Look at what a path names, itself when that is a link."""
        with self._opened(path, os.O_PATH | os.O_NOFOLLOW) as handle:
            return os.fstat(handle)

    def exists(self, path: str) -> bool:
        """Tell whether there is anything of that name, a dangling link included."""
        try:
            self.lstat(path)
        except OSError as error:
            if error.errno in NOTHING:
                return False
            raise
        return True

    def is_file(self, path: str) -> bool:
        """Tell whether a path leads to a regular file, through links inside the tree."""
        return self._leads_to(path, stat.S_ISREG)

    def is_dir(self, path: str) -> bool:
        """Tell whether a path leads to a folder, through links inside the tree."""
        return self._leads_to(path, stat.S_ISDIR)

    def readlink(self, path: str) -> str:
        """Give a symbolic link's target as written."""
        with self._opened(path, os.O_PATH | os.O_NOFOLLOW) as handle:
            try:
                return os.readlink("", dir_fd=handle)
            except FileNotFoundError:  # readlinkat(2) with an empty path says so of a non-link
                raise OSError(errno.EINVAL, "not a symbolic link", path) from None

    @contextlib.contextmanager
    def handle(self, path: str) -> Iterator[int]:
        """Lend a descriptor that stands for what is there (O_PATH), links followed."""
        with self._opened(path, os.O_PATH) as fd:
            yield fd

    def listdir(self, path: str) -> list[str]:
        """Give a folder's names, sorted."""
        with self._opened(path, os.O_RDONLY | os.O_DIRECTORY) as folder:
            return names(folder)

    def walk(self, path: str = "") -> Iterator[tuple[str, os.stat_result]]:
        """Give every path below a folder with what it is; enters no link."""
        with self._opened(path, os.O_RDONLY | os.O_DIRECTORY) as folder:
            yield from _walk(folder, path.strip("/"))

    # Changing

    def write_bytes(
        self, path: str, data: bytes, mode: int = 0o644, owner: tuple[int, int] = (0, 0)
    ) -> None:
        """Put a regular file there, in place of a file or a link of that name.

        Anything else of that name (a folder, a device) is refused. The old file's inode is left
        alone, since other trees may share it.
        """
        with self._written(path, mode, owner) as file:
            file.write(data)

    def write_from(
        self, path: str, source: Path, mode: int = 0o644, owner: tuple[int, int] = (0, 0)
    ) -> None:
        """Put a copy of a file of ours there in the same way, however large; holes stay holes."""
        with source.open("rb") as data, self._written(path, mode, owner) as file:
            pour(data.fileno(), file.fileno())

    @contextlib.contextmanager
    def _written(self, path: str, mode: int, owner: tuple[int, int]) -> Iterator[BinaryIO]:
        with self._parent(path) as (folder, name):
            _must_be_replaceable(path, _lstat_in(folder, name))
            draft = _draft_name(name)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            fd = os.open(draft, flags, 0o600, dir_fd=folder)
            try:
                with open(fd, "wb") as file:  # noqa: PTH123  # opened by descriptor
                    yield file
                    file.flush()
                    os.fchown(fd, *owner)
                    os.fchmod(fd, mode)  # after the owner: chown clears set-id bits
                os.rename(draft, name, src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(draft, dir_fd=folder)
                raise

    def set_xattrs(self, path: str, attributes: Mapping[str, bytes]) -> None:
        """Give a file or a folder extended attributes; those that it has stay."""
        with self._opened(path, os.O_PATH | os.O_NOFOLLOW) as handle:
            if not stat.S_ISLNK(os.fstat(handle).st_mode):
                for name, value in attributes.items():
                    os.setxattr(_of(handle), name, value)

    def symlink(self, path: str, target: str) -> None:
        """Put a symbolic link there, in place of a file or a link of that name."""
        with self._parent(path) as (folder, name):
            _must_be_replaceable(path, _lstat_in(folder, name))
            draft = _draft_name(name)
            os.symlink(target, draft, dir_fd=folder)
            try:
                os.rename(draft, name, src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                os.unlink(draft, dir_fd=folder)
                raise

    def mkdir(self, path: str, mode: int = 0o755, owner: tuple[int, int] = (0, 0)) -> None:
        """Make a folder and those above it; folders that are there stay as they are."""
        parts = PurePosixPath(path.strip("/")).parts
        for depth in range(1, len(parts) + 1):
            here = "/".join(parts[:depth])
            if self.is_dir(here):
                continue
            with self._parent(here) as (folder, name):
                os.mkdir(name, 0o700, dir_fd=folder)
            with self._opened(here, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW) as made:
                os.fchown(made, *owner)
                os.fchmod(made, mode)

    def remove(self, path: str) -> None:
        """Remove a file, a link or a whole folder; one that is not there is fine."""
        with contextlib.suppress(FileNotFoundError), self._parent(path) as (folder, name):
            remove_below(folder, name)

    def unlist(self, path: str) -> None:
        """Take away a folder's access control lists; its mode stays (acl(5))."""
        with self._opened(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY) as fd:
            for name in os.listxattr(fd):
                if name.startswith("system.posix_acl_"):
                    os.removexattr(fd, name)

    def chmod(self, path: str, mode: int) -> None:
        """Set the mode of a file or a folder; a link is refused."""
        with self._opened(path, os.O_PATH | os.O_NOFOLLOW) as handle:
            if stat.S_ISLNK(os.fstat(handle).st_mode):
                raise OSError(errno.EINVAL, "a symbolic link has no mode", path)
            os.chmod(_of(handle), mode)  # noqa: PTH101  # by descriptor

    def chown(self, path: str, owner: tuple[int, int]) -> None:
        """Set the owner of a file, a folder, or a link itself."""
        with self._opened(path, os.O_PATH | os.O_NOFOLLOW) as handle:
            os.chown(_of(handle), *owner)

    # Lending

    @contextlib.contextmanager
    def folder(self, path: str) -> Iterator[int]:
        """Lend a descriptor of a folder, through links inside the tree."""
        with self._opened(path, os.O_RDONLY | os.O_DIRECTORY) as folder:
            yield folder

    @contextlib.contextmanager
    def by_descriptor(self, path: str) -> Iterator[Path]:
        """Lend a name of this process for a folder, for system calls that take no descriptor."""
        with self._opened(path, os.O_PATH | os.O_DIRECTORY) as folder:
            yield Path(_of(folder))

    @contextlib.contextmanager
    def entry(self, path: str) -> Iterator[tuple[int, str]]:
        """Lend a descriptor of the folder that holds an entry, and give the entry's name."""
        with self._parent(path) as found:
            yield found

    def step(self, folder: int, name: str) -> int:
        """Open a name in a folder that was lent, itself, to be looked at (O_PATH)."""
        if self._crossings is None:
            return os.open(name, _ITSELF, dir_fd=folder)
        return self._crossings.step(folder, name)

    # Resolving

    @contextlib.contextmanager
    def _opened(self, path: str, flags: int) -> Iterator[int]:
        fd = self._open(path, flags | os.O_CLOEXEC)
        try:
            yield fd
        finally:
            os.close(fd)

    def _open(self, path: str, flags: int) -> int:
        rules = self._resolve | NO_MAGICLINKS
        if self._crossings is None:
            return openat2(self._fd, path, flags, rules)
        try:
            return openat2(self._fd, path, flags, rules | NO_CROSSING)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
        return self._crossings.resolve(path, flags)

    @contextlib.contextmanager
    def _parent(self, path: str) -> Iterator[tuple[int, str]]:
        """Open the folder that holds the last component, and give that component's name."""
        above, _, name = path.strip("/").rpartition("/")
        if name in {"", ".", ".."}:
            raise OSError(errno.EINVAL, "not the name of an entry", path)
        with self._opened(above, os.O_RDONLY | os.O_DIRECTORY) as folder:
            yield folder, name

    def _leads_to(self, path: str, what: Callable[[int], bool]) -> bool:
        try:
            with self._opened(path, os.O_PATH) as handle:
                return what(os.fstat(handle).st_mode)
        except OSError as error:
            if error.errno in NOTHING:
                return False
            raise


def open_file(handle: int) -> int:
    """Open for reading what is known to be a regular file; opening others could set them off."""
    try:
        return os.open(_of(handle), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except BlockingIOError as error:
        raise BlockingIOError(error.errno, "somebody holds a lease on it", error.filename) from None


def names(folder: int) -> list[str]:
    """Give the names in an open folder, sorted; EFBIG where they do not end."""
    with os.scandir(folder) as entries:
        found = sorted(entry.name for entry in itertools.islice(entries, _ENTRIES + 1))
    if len(found) > _ENTRIES:
        raise OSError(errno.EFBIG, f"a folder of more than {_ENTRIES} entries")
    return found


def _walk(folder: int, prefix: str) -> Iterator[tuple[str, os.stat_result]]:
    if prefix.count("/") > _DEPTH:
        raise OSError(errno.ELOOP, "nested too deeply", prefix)
    for name in names(folder):
        path = f"{prefix}/{name}" if prefix else name
        status = _lstat_in(folder, name)
        if status is None:
            continue
        yield path, status
        if stat.S_ISDIR(status.st_mode):
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            try:
                inner = os.open(name, flags, dir_fd=folder)
            except (FileNotFoundError, NotADirectoryError):
                continue  # removed or replaced since, as a container that runs may do
            try:
                yield from _walk(inner, path)
            finally:
                os.close(inner)


def _lstat_in(folder: int, name: str) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _must_be_file(path: str, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "not a regular file", path)


def _must_be_replaceable(path: str, status: os.stat_result | None) -> None:
    if status is not None and not stat.S_ISLNK(status.st_mode):
        _must_be_file(path, status)


def _draft_name(name: str) -> str:
    return f".{name[:200]}.{os.urandom(8).hex()}"


def _of(handle: int) -> str:
    """Name what an O_PATH descriptor stands for; /proc is our own here, not the tree's."""
    return f"/proc/self/fd/{handle}"
