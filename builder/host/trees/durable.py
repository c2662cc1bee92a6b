"""Durable files: the few operations that everything kept on disk rests on."""

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from builder.host import locks, pids
from builder.host.heard import heard
from builder.model.errors import HostError


class Disk:
    """The disk operations that durability rests on; tests hand in one that fails at the n-th."""

    def write(self, path: Path, data: bytes) -> None:
        """Write a whole new file and sync it."""
        with path.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())

    def sync(self, path: Path) -> None:
        """Sync a file or a folder."""
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def sync_filesystem(self, path: Path) -> None:
        """Sync all of the file system that holds a path (syncfs(2)): cheaper than each file."""
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            from builder.host.kernel.libc import checked, libc  # most commands sync files alone

            checked(libc.syncfs(fd), str(path))
        finally:
            os.close(fd)

    def rename(self, source: Path, target: Path) -> None:
        """Move within one file system, replacing a file that is there."""
        source.rename(target)


def replace(path: Path, data: bytes, *, disk: Disk | None = None) -> None:
    """Write a file so that a reader sees the old or the new one, whole, also after a crash."""
    disk = disk or Disk()
    with draft_of(path) as draft:
        disk.write(draft, data)
        disk.rename(draft, path)
    disk.sync(path.parent)


def private(folder: Path) -> Path:
    """Make a folder that only its owner may enter, or one that is there into one.

    For trees: set-id programs in them, old or hostile ones, have the host's root as their owner.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if stat.S_IMODE(folder.stat().st_mode) & 0o077:
        folder.chmod(0o700)
    return folder


@contextlib.contextmanager
def draft_of(path: Path) -> Iterator[Path]:
    """Lend a file beside the one that is to be written, to be renamed to it; one writer at a time.

    Every writer of a path has the same draft, and the kernel lets go of its lock when one dies: so
    what a killed command leaves is used up as soon as the command is run again.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.new")
    while True:
        fd = -1
        try:
            with pids.undisturbed():  # or Ctrl-C leaves a file that nobody knows of
                fd = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
            with heard():
                fcntl.flock(fd, fcntl.LOCK_EX)
            if not _is_at(fd, draft):
                continue  # whoever had it before us has renamed it
            yield draft
        except BaseException:
            if fd >= 0:
                _take_back(fd, draft)
            raise
        else:
            return
        finally:
            if fd >= 0:
                os.close(fd)


def _take_back(fd: int, draft: Path) -> None:
    """Remove a draft, unless another one writes to it by now."""
    with contextlib.suppress(OSError):
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _is_at(fd, draft):
            draft.unlink()


@contextlib.contextmanager
def locked(path: Path, *, wait: bool = True, make: bool = True, what: str = "") -> Iterator[bool]:
    """Hold an exclusive lock on a file, made when missing; gives False when it is taken.

    Where it keeps others from `what`, those who wait are told who has it.

    The kernel lets go of the lock when the process dies (flock(2)). Who holds the lock may remove
    the file. Without `make`, a missing file raises FileNotFoundError.
    """
    flags = os.O_RDWR | os.O_CLOEXEC
    if make:
        flags |= os.O_CREAT
        path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        while True:
            fd = os.open(path, flags, 0o600)
            stack.callback(os.close, fd)
            try:
                if wait and what:
                    locks.lock(fd, what)
                else:
                    with heard():
                        fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                yield False
                return
            if _is_at(fd, path):
                break
            # Its holder has removed it meanwhile: a lock on it keeps nobody out any more.
            stack.close()
        yield True


@contextlib.contextmanager
def gate(path: Path, *, alone: bool = False) -> Iterator[None]:
    """Pass a lock that many may hold at once, or one `alone`; the file is never removed.

    Without the file, or the right to open it, nobody is alone and there is nothing to wait for.
    """
    try:
        fd = os.open(path, (os.O_RDWR | os.O_CREAT if alone else os.O_RDONLY) | os.O_CLOEXEC, 0o600)
    except (FileNotFoundError, PermissionError):
        if alone:
            raise
        yield
        return
    # A descriptor for each time: a lock belongs to the descriptor, and threads would share it.
    try:
        with heard():
            fcntl.flock(fd, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield
    finally:
        os.close(fd)


def _is_at(fd: int, path: Path) -> bool:
    """Tell whether an open file is the one of that name."""
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(fd), there)


@contextlib.contextmanager
def held(folder: Path) -> Iterator[bool]:
    """Tell others that a folder is in use, until the block ends; gives False when it is gone."""
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield False
        return
    try:
        fcntl.flock(fd, fcntl.LOCK_SH)
        yield True
    finally:
        os.close(fd)


def is_held(folder: Path) -> bool:
    """Tell whether somebody uses a folder, as they say by `held`."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn what a disk refuses into a HostError that says what to do."""
    try:
        yield
    except OSError as error:
        if (told := disk_error(error, path)) is not None:
            raise told from error
        raise


def disk_error(error: OSError, path: Path | None = None) -> HostError | None:
    """Make the error for what a disk refuses; None if it is something else that went wrong."""
    named = path or error.filename
    where = f" that holds `{named}`" if named else ""
    match error.errno:
        case errno.ENOSPC:
            return HostError(
                f"no space left on the disk{where}",
                hint="free some, or `oven cache prune`, then run the same command again",
            )
        case errno.EDQUOT:
            return HostError(
                f"the disk quota is used up on the disk{where}",
                hint="free some space, then run the same command again",
            )
        case errno.EIO:
            return HostError(
                f"the disk{where} fails to read or write",
                hint="`dmesg` has the kernel's reason; OVEN_HOME may name a folder on another disk",
            )
        case errno.EFBIG:
            return HostError(
                f"the disk{where} takes no file of that size",
                hint="choose a smaller size, or let OVEN_HOME name a folder on another disk",
            )
        case errno.EUCLEAN | errno.EBADMSG:
            return HostError(
                f"the file system{where} is damaged",
                hint="`dmesg` has the kernel's reason; `fsck` may repair what is not mounted",
            )
        case errno.EACCES | errno.EPERM | errno.EROFS if path:
            return HostError(
                f"cannot write to `{error.filename or path}`: {error.strerror}",
                hint="set OVEN_HOME to a folder that you may write to",
            )
    return None
