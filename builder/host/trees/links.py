"""Links: files that a tree shares with others become its own where programs count names.

A tree made of hard links to the files of another costs neither time nor disk, and shows inside how
many there are. postfix takes no `/etc/mailname` that has a second name, and cron no table. So what
administrators and programs write, which is small, is copied.
"""

import os
import stat
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
    root, made = os.fsencode(tree), dict[int, bytes]()
    for name in _OWN:
        folder = root + b"/" + name
        # A link in its place leads out of the tree.
        if os.path.lexists(folder) and stat.S_ISDIR(os.lstat(folder).st_mode):
            _own_folder(folder, root + b"/" + _SHARED, made)


def _own_folder(folder: bytes, shared: bytes, made: dict[int, bytes]) -> None:
    if folder == shared:
        return
    before, changed = os.lstat(folder), False
    with os.scandir(folder) as found:
        entries = list(found)
    for one in entries:
        if one.is_dir(follow_symlinks=False):
            _own_folder(one.path, shared, made)
        elif one.is_file(follow_symlinks=False):
            status = one.stat(follow_symlinks=False)
            if status.st_nlink > 1 and status.st_size < _LARGE:
                changed = True
                _own(one.path, status, made)
    if changed:
        os.utime(folder, ns=(before.st_atime_ns, before.st_mtime_ns))


def _own(path: bytes, status: os.stat_result, made: dict[int, bytes]) -> None:
    if (first := made.get(status.st_ino)) is not None:
        os.unlink(path)  # noqa: PTH108  # paths are bytes: names need not be UTF-8
        os.link(first, path)
        return
    made[status.st_ino] = path
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
