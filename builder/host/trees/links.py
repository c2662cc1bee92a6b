"""Links: files that a tree shares with others become its own where programs count names.

A tree made of hard links to the files of another costs neither time nor disk, and shows inside how
many there are. postfix takes no `/etc/mailname` that has a second name, and cron no table. So what
administrators and programs write, which is small, is copied.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

_OWN = (b"etc", b"home", b"root", b"var")
_SHARED = b"var/lib/dpkg/info"
"""Four files for each package, which nobody but dpkg reads."""
_LARGE = 1 << 20
"""Bytes from which on a file stays shared."""


def own_files(tree: Path) -> None:
    """Copy the files of a tree, in which nothing runs, that have names elsewhere too.

    Names within the tree stay names of one file.
    """
    root = os.fsencode(tree)
    counted = tuple(root + b"/" + name + b"/" for name in _OWN)
    names = dict[int, list[bytes]]()
    rest = list[tuple[int, bytes]]()
    for path, entry in _files(root):
        # Not stat(2) of all of them: most are none of those, and there may be a million.
        if path.startswith(counted) and _is_counted(path, entry):
            names.setdefault(entry.inode(), []).append(path)
        else:
            rest.append((entry.inode(), path))
    for inode, path in rest if names else ():
        if inode in names:
            names[inode].append(path)
    folders = {os.path.dirname(path) for paths in names.values() for path in paths}  # noqa: PTH120
    times = {folder: os.lstat(folder) for folder in folders}
    for first, *others in names.values():
        _copy(first)
        for path in others:
            os.unlink(path)  # noqa: PTH108  # paths are bytes: names need not be UTF-8
            os.link(first, path)
    for folder, before in times.items():
        os.utime(folder, ns=(before.st_atime_ns, before.st_mtime_ns))


def _files(folder: bytes) -> Iterator[tuple[bytes, os.DirEntry[bytes]]]:
    """Walk all that is no folder, without following a link."""
    with os.scandir(folder) as found:
        for one in found:
            if one.is_dir(follow_symlinks=False):
                yield from _files(one.path)
            else:
                yield one.path, one


def _is_counted(path: bytes, entry: os.DirEntry[bytes]) -> bool:
    if b"/" + _SHARED + b"/" in path or not entry.is_file(follow_symlinks=False):
        return False
    status = entry.stat(follow_symlinks=False)
    return status.st_nlink > 1 and status.st_size < _LARGE


def _copy(path: bytes) -> None:
    """Put a copy of a file in its place."""
    status = os.lstat(path)
    flags = os.O_NOFOLLOW | os.O_CLOEXEC
    old = os.open(path, os.O_RDONLY | flags)
    try:
        os.unlink(path)  # noqa: PTH108
        new = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | flags, 0o600)
        try:
            while os.sendfile(new, old, None, _LARGE):
                pass
            os.fchown(new, status.st_uid, status.st_gid)  # takes capabilities and set-id bits
            for name in os.listxattr(old):
                if not name.startswith("security.selinux"):
                    os.setxattr(new, name, os.getxattr(old, name))
            os.fchmod(new, stat.S_IMODE(status.st_mode))
            os.utime(new, ns=(status.st_atime_ns, status.st_mtime_ns))
        finally:
            os.close(new)
    finally:
        os.close(old)
