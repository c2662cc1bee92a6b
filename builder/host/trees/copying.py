"""Copying files and folders by descriptor, so that nobody can swap a path for another meanwhile."""

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from builder.host.kernel.openat2 import NO_CROSSING, openat2
from builder.host.trees.pouring import pour
from builder.host.trees.treeio import names, open_file
from builder.model.errors import HostError, RecipeError

# Every step goes from an open folder to one name in it, and never through a link: what is copied
# may belong to a container that changes it at the same time.

_DEPTH = 200
"""Folders within folders; each takes three descriptors."""
_LINKED = 256
"""Files with several names of which the others are made as links; more are copied."""

Owner = Callable[[int, int], tuple[int, int]]
Step = Callable[[int, str], int]
"""Opens one name in a folder, itself, to be looked at (O_PATH)."""

_WHYS = {
    errno.EAGAIN: "somebody holds a lease on it",
    errno.EXDEV: "it lies on a file system that is not entered",
}
_CHANGED = frozenset({errno.ENOTDIR, errno.ELOOP, errno.EINVAL})


class Note(Protocol):
    """Is told of what was left out, and why."""

    def __call__(self, name: str, why: str = "not a file, a folder or a link", /) -> None:
        """Take note."""


def itself(folder: int, name: str) -> int:
    """Open a name in a folder whose file systems are all trusted to answer."""
    return os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)


@dataclass(slots=True)
class CopyManner:
    """How copies are made."""

    owner: Owner
    """From the owner of an original, as its file system shows it, to that of the copy."""
    note: Note
    advance: Callable[[int], None]
    """Is told of bytes that were copied."""
    everything: bool = False
    """Whether set-id bits, devices and `user.` attributes are copied too."""
    step: Step = itself
    """How a name of an original is opened."""
    into: Step = itself
    """How a name of a folder that is copied into is."""
    links: dict[tuple[int, int], int] = field(default_factory=dict)

    def close(self) -> None:
        """Let go of the files that other names were linked to."""
        for fd in self.links.values():
            os.close(fd)
        self.links.clear()


Place = tuple[int, str]
"""An open folder, and a name in it."""
Put = Callable[[Place, Callable[[int], None]], None]
"""Puts a file somewhere, which is made by its descriptor."""


def copy(
    source: Place, target: Place, manner: CopyManner, depth: int = 0, *, first: bool = False
) -> None:
    """Copy a file, a link or a folder with all in it; folders that are there are filled.

    `first` says that the target is in a folder that this copy has made.
    """
    with opened(source, manner.step) as (handle, status):
        if stat.S_ISDIR(status.st_mode):
            _copy_folder(handle, target, manner, depth)
        elif stat.S_ISLNK(status.st_mode):
            to = os.readlink("", dir_fd=handle)
            put_link(target, to, manner.owner(status.st_uid, status.st_gid))
        elif stat.S_ISREG(status.st_mode):
            _copy_file(handle, target, manner, put=_put_first if first else _replace)
        elif manner.everything and not stat.S_ISSOCK(status.st_mode):
            _copy_special(target, status, manner)
        else:
            manner.note(source[1])


def fill(source: int, target: int, manner: CopyManner) -> None:
    """Copy what the folder `source` has into the folder `target`."""
    _refuse_itself(source, target)
    for name in names(source):
        with changed_is_fine(name, manner):
            copy((source, name), (target, name), manner)


def check_depth(depth: int) -> None:
    """Refuse folders within so many folders."""
    if depth > _DEPTH:
        raise HostError(
            f"folders are nested deeper than {_DEPTH} levels",
            hint="tar has no such limit: `oven exec NAME -- tar -C FOLDER -cf - .`",
        )


def put_file(
    target: Place,
    write: Callable[[int], None],
    mode: int,
    owner: tuple[int, int],
    times: tuple[int, int] | None = None,
) -> None:
    """Put a file there once it is whole, in place of a file or a link of that name."""

    def make(fd: int) -> None:
        write(fd)
        os.fchown(fd, *owner)
        os.fchmod(fd, mode)  # after the owner: chown clears set-id bits
        if times is not None:
            os.utime(fd, ns=times)

    _replace(target, make)


def _replace(target: Place, make: Callable[[int], None]) -> None:
    folder, name = target
    with _draft(target) as draft:
        _create((folder, draft), make)
        os.rename(draft, name, src_dir_fd=folder, dst_dir_fd=folder)


def _create(target: Place, make: Callable[[int], None]) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(target[1], flags, 0o600, dir_fd=target[0])
    try:
        make(fd)
    finally:
        os.close(fd)


def _put_first(target: Place, make: Callable[[int], None]) -> None:
    """Put a file into a folder that this copy has made, which is not whole itself as yet.

    So it takes no name of its own first, which would be as much work again for small files.
    """
    try:
        _create(target, make)
    except FileExistsError:
        _replace(target, make)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(target[1], dir_fd=target[0])
        raise


def put_link(target: Place, to: str, owner: tuple[int, int]) -> None:
    """Put a symbolic link there, in place of a file or a link of that name."""
    folder, name = target
    with _draft(target) as draft:
        os.symlink(to, draft, dir_fd=folder)
        os.chown(draft, *owner, dir_fd=folder, follow_symlinks=False)
        os.rename(draft, name, src_dir_fd=folder, dst_dir_fd=folder)


def put_name(target: Place, handle: int) -> None:
    """Give an open file one more name, in place of what has it; the descriptor may be O_PATH."""
    folder, name = target
    with _draft(target) as draft:
        os.link(f"/proc/self/fd/{handle}", draft, dst_dir_fd=folder, follow_symlinks=True)
        os.rename(draft, name, src_dir_fd=folder, dst_dir_fd=folder)
        with contextlib.suppress(FileNotFoundError):
            # rename(2) does nothing where both are the same file already.
            os.unlink(draft, dir_fd=folder)


@contextlib.contextmanager
def opened(place: Place, step: Step) -> Iterator[tuple[int, os.stat_result]]:
    """Lend a descriptor that stands for what a place has, and tell what it is."""
    handle = step(*place)
    try:
        yield handle, os.fstat(handle)
    finally:
        os.close(handle)


def _copy_folder(source: int, target: Place, manner: CopyManner, depth: int) -> None:
    check_depth(depth)
    with open_folder(source) as inner:
        if depth == 0:
            _refuse_itself(inner, target[0])
        status = os.fstat(inner)
        made = _make_folder(target)
        with opened(target, manner.into) as (there, _), open_folder(there) as copied:
            if depth == 0:
                _refuse_itself(inner, copied)
            for name in names(inner):
                with changed_is_fine(name, manner):
                    copy((inner, name), (copied, name), manner, depth + 1, first=made)
            if made:
                os.fchown(copied, *manner.owner(status.st_uid, status.st_gid))
                os.fchmod(copied, _mode(status, manner))
                _copy_attributes(inner, copied, manner)
                os.utime(copied, ns=(status.st_atime_ns, status.st_mtime_ns))


def _make_folder(target: Place) -> bool:
    """Make a folder that only we can use as yet; tell whether it was not there."""
    try:
        os.mkdir(target[1], 0o700, dir_fd=target[0])
    except FileExistsError:
        return False
    return True


def _copy_file(source: int, target: Place, manner: CopyManner, *, put: Put) -> None:
    status = os.fstat(source)
    known = manner.links.get((status.st_dev, status.st_ino))
    if known is not None:
        put_name(target, known)
        return
    file = open_file(source)
    try:
        status = os.fstat(file)

        def make(fd: int) -> None:
            pour(file, fd, manner.advance)
            _copy_attributes(file, fd, manner)
            os.fchown(fd, *manner.owner(status.st_uid, status.st_gid))
            os.fchmod(fd, _mode(status, manner))  # after the owner: chown clears set-id bits
            os.utime(fd, ns=(status.st_atime_ns, status.st_mtime_ns))

        put(target, make)
    finally:
        os.close(file)
    if status.st_nlink > 1 and len(manner.links) < _LINKED:
        manner.links[status.st_dev, status.st_ino] = itself(*target)


def _copy_special(target: Place, status: os.stat_result, manner: CopyManner) -> None:
    folder, name = target
    kind = stat.S_IFMT(status.st_mode)
    with _draft(target, (kind, status.st_rdev)) as draft:
        os.mknod(draft, kind | 0o600, status.st_rdev, dir_fd=folder)
        owner = manner.owner(status.st_uid, status.st_gid)
        os.chown(draft, *owner, dir_fd=folder, follow_symlinks=False)
        handle = itself(folder, draft)
        try:
            os.chmod(f"/proc/self/fd/{handle}", _mode(status, manner))  # noqa: PTH101  # by descriptor
        finally:
            os.close(handle)
        os.rename(draft, name, src_dir_fd=folder, dst_dir_fd=folder)


def _copy_attributes(source: int, target: int, manner: CopyManner) -> None:
    if manner.everything:
        with contextlib.suppress(OSError):  # a file system without them
            for name in os.listxattr(source):
                if name.startswith("user."):
                    os.setxattr(target, name, os.getxattr(source, name))


def _mode(status: os.stat_result, manner: CopyManner) -> int:
    return status.st_mode & (0o7777 if manner.everything else 0o777)


def _refuse_itself(source: int, target: int) -> None:
    """Refuse a target that is the source, or lies in it: it would be copied too, without end."""
    whole = os.fstat(source)
    flags = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
    here = os.open(".", flags, dir_fd=target)
    try:
        while True:
            status = os.fstat(here)
            if os.path.samestat(status, whole):
                raise RecipeError("a folder cannot be copied into itself")
            above = os.open("..", flags, dir_fd=here)
            os.close(here)
            here = above
            if os.path.samestat(os.fstat(here), status):
                return  # the root is its own parent
    finally:
        os.close(here)


@contextlib.contextmanager
def open_folder(handle: int) -> Iterator[int]:
    """Lend a descriptor to list a folder by; ENOTDIR for anything else."""
    fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=handle)
    try:
        yield fd
    finally:
        os.close(fd)


@contextlib.contextmanager
def _draft(target: Place, special: tuple[int, int] | None = None) -> Iterator[str]:
    """Give a name beside the target, of which nothing is left when the work fails.

    It is for what takes the place of a file or a link; of a device or a fifo only for its like.
    """
    folder, name = target
    _refuse_special(target, special)
    draft = f".{name[:200]}.{os.urandom(8).hex()}"
    try:
        yield draft
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(draft, dir_fd=folder)
        raise


def _refuse_special(target: Place, special: tuple[int, int] | None) -> None:
    try:
        handle = openat2(*target, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, NO_CROSSING)
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno == errno.EXDEV:  # rename(2) would refuse it, but not before it is asked
            raise OSError(errno.EINVAL, "something is mounted there", target[1]) from error
        raise
    try:
        there = os.fstat(handle)
    finally:
        os.close(handle)
    kind = stat.S_IFMT(there.st_mode)
    plain = kind in {stat.S_IFREG, stat.S_IFLNK, stat.S_IFDIR}  # rename(2) refuses a folder
    if not plain and (kind, there.st_rdev) != special:
        problem = "there is a device, a fifo or a socket of that name"
        raise OSError(errno.EINVAL, problem, target[1])


@contextlib.contextmanager
def changed_is_fine(name: str, manner: CopyManner) -> Iterator[None]:
    """Leave out what was removed, or became something else, between its listing and its turn."""
    try:
        yield
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno in _WHYS:
            manner.note(name, _WHYS[error.errno])
        elif error.errno in _CHANGED:
            manner.note(name)
        else:
            raise
