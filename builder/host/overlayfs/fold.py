"""Overlays: a writable view of a tree that must not change, and folding the changes into a new one.

Trees share inodes with one another, so nothing in here ever writes through a file's name: files
are linked, moved or removed, and only folders, which are never shared, are changed in place.
"""

import contextlib
import errno
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from builder.host.kernel.libc import MNT_DETACH, last_error, libc
from builder.host.kernel.namespaces import current
from builder.host.overlayfs import notes
from builder.host.overlayfs.mount import Overlay, mount_overlay
from builder.host.pids import undisturbed
from builder.host.trees.links import own_files
from builder.model.errors import HostError


@contextlib.contextmanager
def overlay(
    lower: Path, upper: Path, work: Path, target: Path, *, over: Path | None = None
) -> Iterator[Path]:
    """Mount a writable view of `lower` on `target`; what is changed lands in `upper`.

    The folders are made if missing; a new `upper` gets the owner and mode of `lower`. The files of
    `over` (see stand_ins.py) are seen too, but a fold knows nothing of them.
    """
    if not upper.exists():
        upper.mkdir(parents=True)
        copy_status(os.fsencode(lower), os.fsencode(upper))
    for folder in (work, target):
        folder.mkdir(parents=True, exist_ok=True)
    layers = Overlay(
        lowers=tuple(path for path in (over, lower) if path),
        upper=upper,
        work=work,
        of_user=current().unprivileged,
    )
    with contextlib.ExitStack() as mounted:
        # Ctrl-C between the mount and the care for it would leave it, and nothing of it be removed.
        with undisturbed():
            try:
                mount_overlay(layers, target)
            except OSError as error:
                raise _mount_error(error, target) from error
            mounted.callback(_unmount, target)
        yield target


def fold(lower: Path, upper: Path, target: Path) -> None:
    """Make `target` the tree that the overlay showed; empties `upper`.

    Files are hard links to those of `lower`, but for those that `own_files` copies, or are moved
    out of `upper`; all three lie on one file system, and the overlay is not mounted any more.
    """
    _link_all(lower, target)
    apply_upper(upper, target)
    own_files(target)


def link_tree(source: Path, target: Path) -> None:
    """Make a new folder that has all of another one: folders made anew, files linked or copied."""
    _link_all(source, target)
    own_files(target)


def _link_all(source: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    _link_folder(os.fsencode(source), os.fsencode(target))


def apply_upper(upper: Path, target: Path) -> None:
    """Do to a tree what an overlay's `upper` says; its files are moved, its folders stay."""
    _apply_folder(os.fsencode(upper), os.fsencode(target))


def _link_folder(source: bytes, target: bytes) -> None:
    with os.scandir(source) as found:
        for one in found:
            there = target + b"/" + one.name
            if one.is_dir(follow_symlinks=False):
                os.mkdir(there)  # noqa: PTH102  # paths are bytes: names need not be UTF-8
                _link_folder(one.path, there)
            else:
                os.link(one.path, there, follow_symlinks=False)
    copy_status(source, target)


def _apply_folder(upper: bytes, target: bytes) -> None:
    status = os.stat(upper, follow_symlinks=False)  # noqa: PTH116  # moving files out touches it
    with os.scandir(upper) as found:
        for one in found:
            there = target + b"/" + one.name
            if one.is_dir(follow_symlinks=False):
                _apply_subfolder(one.path, there)
                continue
            if _is_folder(there):
                shutil.rmtree(there)
            if notes.is_whiteout(one.stat(follow_symlinks=False)):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(there)  # noqa: PTH108
            else:
                notes.strip(one.path)
                os.rename(one.path, there)  # noqa: PTH104
    copy_status(upper, target, status)


def _apply_subfolder(source: bytes, there: bytes) -> None:
    names = os.listxattr(source, follow_symlinks=False)
    if notes.is_moved(names):
        raise HostError(
            f"overlayfs moved a folder that cannot be folded: `{os.fsdecode(source)}`",
            hint="a bug: the overlay was mounted with redirects",
        )
    if _is_folder(there):
        if notes.replaces(names):
            shutil.rmtree(there)
    else:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(there)  # noqa: PTH108
    if not _is_folder(there):
        os.mkdir(there)  # noqa: PTH102
    _apply_folder(source, there)


def _is_folder(path: bytes) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except FileNotFoundError:
        return False


def copy_status(source: bytes, target: bytes, status: os.stat_result | None = None) -> None:
    """Give a folder the owner, mode, xattrs and times of another one, or those of `status`."""
    status = status or os.stat(source, follow_symlinks=False)  # noqa: PTH116
    os.chown(target, status.st_uid, status.st_gid)
    os.chmod(target, stat.S_IMODE(status.st_mode))  # noqa: PTH101
    wanted = _own_xattrs(source)
    for name in _own_xattrs(target):
        if name not in wanted:
            os.removexattr(target, name)
    for name in wanted:
        os.setxattr(target, name, os.getxattr(source, name))
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))


def copy_times(source: bytes, target: bytes) -> None:
    """Give a folder the times of another one."""
    status = os.stat(source)  # noqa: PTH116
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))


def _own_xattrs(path: bytes) -> list[str]:
    return [
        name
        for name in os.listxattr(path, follow_symlinks=False)
        if not notes.is_note(name) and not name.startswith(("system.nfs4", "security.selinux"))
    ]


def _mount_error(error: OSError, target: Path) -> HostError:
    hint = "see `dmesg` for the reason"
    if error.errno == errno.ENODEV:
        hint = "as root: modprobe overlay"
    elif error.errno in {errno.EPERM, errno.EACCES}:
        hint = "an ordinary user needs Linux 5.11 or newer; in a container, build as its root with"
        hint += " mounts allowed"
    elif error.errno == errno.EINVAL:
        hint = "the cache must not lie on an overlay or network file system; set OVEN_HOME"
    return HostError(f"cannot mount an overlay on `{target}`: {error.strerror}", hint=hint)


def _unmount(target: Path) -> None:
    if libc.umount2(os.fsencode(target), 0) == 0:
        return
    # Something still uses it, such as a shell that stands in it: it vanishes when that ends.
    if libc.umount2(os.fsencode(target), MNT_DETACH) != 0:
        raise HostError(f"cannot unmount `{target}`: {last_error('').strerror}")
