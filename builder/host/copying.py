"""Copying files and folders by descriptor, so that nobody can swap a path for another meanwhile."""

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from builder.model.errors import HostError, RecipeError

# Every step goes from an open folder to one name in it, and never through a link: what is copied
# may belong to a container that changes it at the same time.

_DEPTH = 200
"""Folders within folders; each takes two descriptors."""
_LINKED = 256
"""Files with several names of which the others are made as links; more are copied."""
_PIECE = 1 << 20
_UNSIZED = 64 << 20
"""Bytes of a file that says it is empty and is not, as those in /proc, at most."""

Owner = Callable[[int, int], tuple[int, int]]


@dataclass(slots=True)
class Manner:
    """How copies are made."""

    owner: Owner
    """From the owner of an original, as its file system shows it, to that of the copy."""
    note: Callable[[str], None]
    """Is told of what was left out."""
    advance: Callable[[int], None]
    """Is told of bytes that were copied."""
    everything: bool = False
    """Whether set-id bits, devices and `user.` attributes are copied too."""
    links: dict[tuple[int, int], int] = field(default_factory=dict)

    def close(self) -> None:
        """Let go of the files that other names were linked to."""
        for fd in self.links.values():
            os.close(fd)
        self.links.clear()


Place = tuple[int, str]
"""An open folder, and a name in it."""


def copy(source: Place, target: Place, manner: Manner, depth: int = 0) -> None:
    """Copy a file, a link or a folder with all in it; folders that are there are filled."""
    status = os.stat(source[1], dir_fd=source[0], follow_symlinks=False)
    if stat.S_ISDIR(status.st_mode):
        _copy_folder(source, target, manner, depth)
    elif stat.S_ISLNK(status.st_mode):
        _copy_link(source, target, status, manner)
    elif stat.S_ISREG(status.st_mode):
        _copy_file(source, target, status, manner)
    elif manner.everything and not stat.S_ISSOCK(status.st_mode):
        _copy_special(target, status, manner)
    else:
        manner.note(source[1])


def fill(source: int, target: int, manner: Manner) -> None:
    """Copy what the folder `source` has into the folder `target`."""
    _refuse_itself(source, target)
    for name in sorted(os.listdir(source)):
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
    folder, name = target
    with _draft(target) as draft:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(draft, flags, 0o600, dir_fd=folder)
        try:
            write(fd)
            os.fchown(fd, *owner)
            os.fchmod(fd, mode)  # after the owner: chown clears set-id bits
            if times is not None:
                os.utime(fd, ns=times)
        finally:
            os.close(fd)
        os.rename(draft, name, src_dir_fd=folder, dst_dir_fd=folder)


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


def open_file(place: Place) -> int:
    """Open a regular file for reading; nothing else is ever opened, since that may set it off."""
    folder, name = place
    handle = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "not a regular file any more", name)
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
        return os.open(f"/proc/self/fd/{handle}", flags)
    finally:
        os.close(handle)


def pour(source: int, target: int, advance: Callable[[int], None]) -> None:
    """Copy the bytes of a file, as many as it has now; holes stay holes (lseek(2))."""
    size = os.fstat(source).st_size
    if size == 0:
        _pour_unsized(source, target, advance)
        return
    offset = 0
    while offset < size:
        try:
            start = os.lseek(source, offset, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            break  # the rest is a hole
        offset = min(os.lseek(source, start, os.SEEK_HOLE), size)
        os.lseek(target, start, os.SEEK_SET)
        while start < offset:
            count = os.sendfile(target, source, start, min(_PIECE, offset - start))
            if count == 0:
                break  # it has become shorter
            start += count
            advance(count)
    os.ftruncate(target, size)


def _pour_unsized(source: int, target: int, advance: Callable[[int], None]) -> None:
    left = _UNSIZED
    while left > 0 and (data := os.read(source, min(_PIECE, left))):
        left -= len(data)
        advance(len(data))
        while data:
            data = data[os.write(target, data) :]


def _copy_folder(source: Place, target: Place, manner: Manner, depth: int) -> None:
    check_depth(depth)
    with open_folder(source) as inner:
        if depth == 0:
            _refuse_itself(inner, target[0])
        status = os.fstat(inner)
        made = _make_folder(target)
        with open_folder(target) as copied:
            if depth == 0:
                _refuse_itself(inner, copied)
            for name in sorted(os.listdir(inner)):
                with changed_is_fine(name, manner):
                    copy((inner, name), (copied, name), manner, depth + 1)
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


def _copy_file(source: Place, target: Place, status: os.stat_result, manner: Manner) -> None:
    known = manner.links.get((status.st_dev, status.st_ino))
    if known is not None:
        put_name(target, known)
        return
    opened = open_file(source)
    try:

        def write(fd: int) -> None:
            pour(opened, fd, manner.advance)
            _copy_attributes(opened, fd, manner)

        status = os.fstat(opened)
        owner = manner.owner(status.st_uid, status.st_gid)
        times = (status.st_atime_ns, status.st_mtime_ns)
        put_file(target, write, _mode(status, manner), owner, times)
    finally:
        os.close(opened)
    if status.st_nlink > 1 and len(manner.links) < _LINKED:
        flags = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
        handle = os.open(target[1], flags, dir_fd=target[0])
        manner.links[status.st_dev, status.st_ino] = handle


def _copy_link(source: Place, target: Place, status: os.stat_result, manner: Manner) -> None:
    to = os.readlink(source[1], dir_fd=source[0])
    put_link(target, to, manner.owner(status.st_uid, status.st_gid))


def _copy_special(target: Place, status: os.stat_result, manner: Manner) -> None:
    folder, name = target
    with _draft(target) as draft:
        os.mknod(draft, stat.S_IFMT(status.st_mode) | 0o600, status.st_rdev, dir_fd=folder)
        owner = manner.owner(status.st_uid, status.st_gid)
        os.chown(draft, *owner, dir_fd=folder, follow_symlinks=False)
        handle = os.open(draft, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
        try:
            os.chmod(f"/proc/self/fd/{handle}", _mode(status, manner))  # noqa: PTH101  # by descriptor
        finally:
            os.close(handle)
        os.rename(draft, name, src_dir_fd=folder, dst_dir_fd=folder)


def _copy_attributes(source: int, target: int, manner: Manner) -> None:
    if manner.everything:
        with contextlib.suppress(OSError):  # a file system without them
            for name in os.listxattr(source):
                if name.startswith("user."):
                    os.setxattr(target, name, os.getxattr(source, name))


def _mode(status: os.stat_result, manner: Manner) -> int:
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
def open_folder(place: Place) -> Iterator[int]:
    """Lend a descriptor of a folder, itself and never what a link leads to."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(place[1], flags, dir_fd=place[0])
    try:
        yield fd
    finally:
        os.close(fd)


@contextlib.contextmanager
def _draft(target: Place) -> Iterator[str]:
    """Give a name beside the target, of which nothing is left when the work fails."""
    folder, name = target
    draft = f".{name[:200]}.{os.urandom(8).hex()}"
    try:
        yield draft
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(draft, dir_fd=folder)
        raise


@contextlib.contextmanager
def changed_is_fine(name: str, manner: Manner) -> Iterator[None]:
    """Leave out what was removed, or became something else, between its listing and its turn."""
    try:
        yield
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno not in {errno.ENOTDIR, errno.ELOOP, errno.EINVAL}:
            raise
        manner.note(name)
