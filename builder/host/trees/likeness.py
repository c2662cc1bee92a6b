"""Likenesses: copies of single names with all that the kernel keeps of them, links included."""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator

from builder.host.trees.pouring import pour

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_UNKNOWN = frozenset({errno.EOPNOTSUPP, errno.EPERM, errno.EACCES, errno.ENODATA})
"""Errors of attributes that this file system does not keep, or this process may not give;
ENODATA is of one that was taken away meanwhile."""


def make(source: int, target: int, name: str, status: os.stat_result) -> None:
    """Copy a name that is no folder from one open folder to another, where there is none."""
    if stat.S_ISREG(status.st_mode):
        _copy_file(source, target, name)
    elif stat.S_ISLNK(status.st_mode):
        os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
        _dress(source, target, name, status)
    else:
        os.mknod(name, stat.S_IFMT(status.st_mode) | 0o600, status.st_rdev, dir_fd=target)
        _dress(source, target, name, status)


def dress(source: int, target: int, status: os.stat_result) -> None:
    """Give an open file or folder the owner, mode, attributes and times of another one."""
    os.fchown(target, status.st_uid, status.st_gid)
    os.fchmod(target, stat.S_IMODE(status.st_mode))  # after the owner: chown clears set-id bits
    _give_attributes(source, target)
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))


def _copy_file(source: int, target: int, name: str) -> None:
    file = os.open(name, _READ, dir_fd=source)
    try:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            raise FileNotFoundError(errno.ENOENT, "it has become something else", name)
        made = os.open(name, _WRITE, 0o600, dir_fd=target)
        try:
            pour(file, made)
            dress(file, made, status)
        finally:
            os.close(made)
    finally:
        os.close(file)


def _dress(source: int, target: int, name: str, status: os.stat_result) -> None:
    """Do what `dress` does, for what cannot be opened; /proc is our own here, not the tree's."""
    os.chown(name, status.st_uid, status.st_gid, dir_fd=target, follow_symlinks=False)
    if not stat.S_ISLNK(status.st_mode):
        os.chmod(name, stat.S_IMODE(status.st_mode), dir_fd=target)
    there, here = f"/proc/self/fd/{source}/{name}", f"/proc/self/fd/{target}/{name}"
    _give_attributes(there, here)
    times = (status.st_atime_ns, status.st_mtime_ns)
    os.utime(name, ns=times, dir_fd=target, follow_symlinks=False)


def _give_attributes(source: int | str, target: int | str) -> None:
    """Give one the attributes of another; it may have got some from the folder that it is in."""
    follow = isinstance(source, int)
    wanted = os.listxattr(source, follow_symlinks=follow)
    for name in os.listxattr(target, follow_symlinks=follow):
        if name not in wanted:
            with _where_known():
                os.removexattr(target, name, follow_symlinks=follow)
    for name in wanted:
        with _where_known():
            value = os.getxattr(source, name, follow_symlinks=follow)
            os.setxattr(target, name, value, follow_symlinks=follow)


@contextlib.contextmanager
def _where_known() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in _UNKNOWN:
            raise
