"""Mounts and namespaces: the system calls behind a container's file system."""

import _thread
import contextlib
import ctypes
import errno
import os
import signal
import struct
from collections.abc import Iterator
from pathlib import Path

from builder.host.kernel.libc import (
    CLONE_NEWNS,
    CLONE_NEWUSER,
    MNT_DETACH,
    MS_BIND,
    MS_MOVE,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_PRIVATE,
    MS_REC,
    MS_SHARED,
    MS_SLAVE,
    UMOUNT_NOFOLLOW,
    checked,
    libc,
)
from builder.model.errors import HostError

# The numbers of system calls from 424 on are the same on every architecture
# (include/uapi/asm-generic/unistd.h); the libc of Debian 12 has no wrapper for these.
_OPEN_TREE = 428
_MOVE_MOUNT = 429
_FSOPEN = 430
_FSCONFIG = 431
_FSMOUNT = 432
_FSPICK = 433
_CLOSE_RANGE = 436
_MOUNT_SETATTR = 442

_AT_FDCWD = -100
_AT_EMPTY_PATH = 0x1000
_OPEN_TREE_CLONE = 1
_CLOSE_RANGE_CLOEXEC = 4
_FSPICK_CLOEXEC, _FSPICK_EMPTY_PATH = 1, 8
_FSCONFIG_SET_STRING = 1
_FSCONFIG_CMD_CREATE = 6
_FSCONFIG_CMD_RECONFIGURE = 7
_MOUNT_ATTR_RDONLY = 1
_MOUNT_ATTR_NOSUID = 2
_MOUNT_ATTR_NODEV = 4
_MOUNT_ATTR_NOEXEC = 8
_MOUNT_ATTR_IDMAP = 0x00100000
_MOVE_MOUNT_F_EMPTY_PATH = 4
_MOVE_MOUNT_T_EMPTY_PATH = 0x40

_PR_SET_PDEATHSIG = 1
_PR_SET_SECUREBITS = 28
_PR_SET_CHILD_SUBREAPER = 36
_SECBIT_NO_SETUID_FIXUP = 1 << 2

_ADOPTING = _thread.allocate_lock()
_adopters = 0


def unshare(flags: int) -> None:
    """Leave namespaces of this process for new ones (unshare(2))."""
    checked(libc.unshare(ctypes.c_int(flags)), "unshare")


def private_namespace() -> None:
    """Give this process mounts of its own: ours never show outside and end with it.

    The host's own changes still come in (MS_SLAVE), or a file system that the host unmounts
    would stay busy for as long as a container runs.
    """
    unshare(CLONE_NEWNS)
    _mount(None, Path("/"), None, MS_REC | MS_SLAVE)


def share(top: Path) -> None:
    """Have what is mounted below a mount show in namespaces that are made from this one later."""
    _mount(None, top, None, MS_REC | MS_SHARED)


def join_namespace(pid: int) -> None:
    """Move this process among the mounts that another one sees (setns(2))."""
    fd = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    try:
        checked(libc.setns(ctypes.c_int(fd), ctypes.c_int(CLONE_NEWNS)), "setns")
    finally:
        os.close(fd)


def mount_tmpfs(target: Path, options: str) -> None:
    """Mount an empty file system in memory."""
    _mount("tmpfs", target, "tmpfs", MS_NOSUID | MS_NODEV, options)


def resize_tmpfs(folder: int, size: str) -> None:
    """Give one another size, by a descriptor of its top (fspick(2)).

    OSError when it holds more, or is no tmpfs.
    """
    flags = ctypes.c_uint(_FSPICK_CLOEXEC | _FSPICK_EMPTY_PATH)
    context = _syscall(_FSPICK, ctypes.c_int(folder), b"", flags)
    try:
        words = (ctypes.c_uint(_FSCONFIG_SET_STRING), b"size", size.encode(), ctypes.c_int(0))
        _syscall(_FSCONFIG, ctypes.c_int(context), *words)
        change = ctypes.c_uint(_FSCONFIG_CMD_RECONFIGURE)
        _syscall(_FSCONFIG, ctypes.c_int(context), change, None, None, ctypes.c_int(0))
    finally:
        os.close(context)


def mount_devices(target: Path) -> None:
    """Mount an empty file system for nodes of devices."""
    _mount("tmpfs", target, "tmpfs", MS_NOSUID | MS_NOEXEC, "mode=711,size=1m")


def mount_proc(target: Path) -> None:
    """Mount the process list of this process's PID namespace."""
    _mount("proc", target, "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)


def bind(source: Path, target: Path) -> None:
    """Show a folder or file, without what is mounted below it, in a second place."""
    _mount(str(source), target, None, MS_BIND)


def bind_locked(source: Path, target: Path) -> None:
    """Show a folder so that nobody writes there, not even who is root in a user namespace.

    What a mount forbids before such a namespace copies it, that one cannot take back
    (mount_namespaces(7), "Restrictions on mount namespaces").
    """
    bind(source, target)
    fd = os.open(target, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        forbidden = _MOUNT_ATTR_RDONLY | _MOUNT_ATTR_NOSUID | _MOUNT_ATTR_NODEV
        _set_attributes(fd, forbidden | _MOUNT_ATTR_NOEXEC, 0)
    finally:
        os.close(fd)


def move(source: Path, target: Path) -> None:
    """Move a mount onto another folder."""
    _mount(str(source), target, None, MS_MOVE)


def detach(target: Path) -> None:
    """Take a mount out of the tree; it lives on for those who use it."""
    checked(libc.umount2(os.fsencode(target), ctypes.c_int(MNT_DETACH)), f"umount {target}")


def unmount(folder: int, name: str) -> None:
    """Take away what is mounted on a name in the folder of a descriptor, for all who see it.

    This process works in that folder from then on. OSError: EBUSY while something there is in use.
    """
    os.fchdir(folder)
    flags = ctypes.c_int(UMOUNT_NOFOLLOW)
    checked(libc.umount2(os.fsencode(name), flags), f"umount {name}")


def mount_idmapped(source: Path, target: Path, namespace: int) -> None:
    """Show a folder with its owners shifted as the user namespace of that descriptor says."""
    tree = _copy(source)
    try:
        try:
            _set_attributes(tree, _MOUNT_ATTR_IDMAP, namespace)
        except OSError as error:
            if error.errno in {errno.EINVAL, errno.ENOSYS}:
                raise HostError(
                    f"the file system that holds `{source}` cannot shift the owners of files",
                    hint="keep containers on ext4, xfs or btrfs with Linux 5.19 or newer",
                ) from error
            raise
        _syscall(
            _MOVE_MOUNT,
            ctypes.c_int(tree),
            b"",
            ctypes.c_int(_AT_FDCWD),
            os.fsencode(target),
            ctypes.c_uint(_MOVE_MOUNT_F_EMPTY_PATH),
        )
    finally:
        os.close(tree)


def mount_inside(source: Path, target: int, namespace: int | None, *, read_only: bool) -> None:
    """Show a folder or file of the host on the folder or file of a descriptor, owners shifted.

    Without a namespace they stay as they are. There are no set-id bits and devices, nor what is
    mounted below the source. Raises OSError; EINVAL where its file system cannot shift owners.
    """
    tree = _copy(source)
    try:
        wanted = _MOUNT_ATTR_NOSUID | _MOUNT_ATTR_NODEV
        wanted |= _MOUNT_ATTR_RDONLY if read_only else 0
        wanted |= _MOUNT_ATTR_IDMAP if namespace is not None else 0
        _set_attributes(tree, wanted, namespace or 0)
        attach(tree, target)
    finally:
        os.close(tree)


def copy_device(node: Path) -> int:
    """Give a descriptor of a mount of the node alone, which is nowhere yet (`attach`).

    Nothing that is mounted on it later shows where it came from.
    """
    tree = _copy(node)
    _set_attributes(tree, _MOUNT_ATTR_NOSUID | _MOUNT_ATTR_NOEXEC, 0, MS_PRIVATE)
    return tree


def attach(tree: int, target: int) -> None:
    """Put such a mount on the folder or file of a descriptor, which must be of this namespace."""
    _syscall(
        _MOVE_MOUNT, ctypes.c_int(tree), b"", ctypes.c_int(target), b"",
        ctypes.c_uint(_MOVE_MOUNT_F_EMPTY_PATH | _MOVE_MOUNT_T_EMPTY_PATH),
    )  # fmt: skip


def _copy(source: Path) -> int:
    flags = ctypes.c_uint(_OPEN_TREE_CLONE | os.O_CLOEXEC)
    return _syscall(_OPEN_TREE, ctypes.c_int(_AT_FDCWD), os.fsencode(source), flags)


def _set_attributes(tree: int, wanted: int, namespace: int, propagation: int = 0) -> None:
    # struct mount_attr: attr_set, attr_clr, propagation, userns_fd (mount_setattr(2))
    attributes = struct.pack("QQQQ", wanted, 0, propagation, namespace)
    size = ctypes.c_size_t(len(attributes))
    empty = ctypes.c_uint(_AT_EMPTY_PATH)
    _syscall(_MOUNT_SETATTR, ctypes.c_int(tree), b"", empty, attributes, size)


@contextlib.contextmanager
def user_namespace(first_id: int, count: int) -> Iterator[int]:
    """Give a descriptor of a user namespace where `first_id` on the host is root."""
    ready_out, ready_in = os.pipe()
    # A namespace exists only with a process in it; once we hold a descriptor that may go.
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        os.close(ready_out)
        code = libc.unshare(ctypes.c_int(CLONE_NEWUSER))
        # Only now, since new credentials untie a process from its parent (prctl(2)).
        die_with_parent()
        os.write(ready_in, bytes([code & 1]))
        while os.getppid() == parent:
            signal.pause()
        os._exit(0)
    try:
        os.close(ready_in)
        if os.read(ready_out, 1) != b"\0":
            raise HostError(
                "this host does not allow user namespaces",
                hint="sysctl user.max_user_namespaces must not be 0",
            )
        for kind in ("uid_map", "gid_map"):
            Path(f"/proc/{child}/{kind}").write_text(f"0 {first_id} {count}\n", encoding="ascii")
        namespace = os.open(f"/proc/{child}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(ready_out)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    try:
        yield namespace
    finally:
        os.close(namespace)


def detached(kind: str) -> int:
    """Mount a file system that needs no device and give a descriptor of its root.

    It is in nobody's list of mounts and goes when the descriptor is closed (fsmount(2)).
    """
    context = _syscall(_FSOPEN, kind.encode(), ctypes.c_uint(1))
    try:
        create = ctypes.c_uint(_FSCONFIG_CMD_CREATE)
        _syscall(_FSCONFIG, ctypes.c_int(context), create, None, None, ctypes.c_int(0))
        return _syscall(_FSMOUNT, ctypes.c_int(context), ctypes.c_uint(1), ctypes.c_uint(0))
    finally:
        os.close(context)


def die_with_parent() -> None:
    """Have the kernel kill this process when the one that forked it dies (prctl(2))."""
    checked(libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "prctl PR_SET_PDEATHSIG")


def live_on() -> None:
    """Take back `die_with_parent`."""
    checked(libc.prctl(_PR_SET_PDEATHSIG, 0, 0, 0, 0), "prctl PR_SET_PDEATHSIG")


@contextlib.contextmanager
def adopting() -> Iterator[None]:
    """Have what loses its parent below this process meanwhile become its child (prctl(2))."""
    _adopt(1)
    try:
        yield
    finally:
        _adopt(-1)


def _adopt(more: int) -> None:
    """Count who wants that: it holds for the whole process, and threads may want it each."""
    global _adopters  # noqa: PLW0603  # as the kernel has it
    with _ADOPTING:
        _adopters += more
        wanted = ctypes.c_ulong(_adopters > 0)
        checked(libc.prctl(_PR_SET_CHILD_SUBREAPER, wanted, 0, 0, 0), "prctl")


def close_on_exec(first: int) -> None:
    """Let no descriptor from `first` on reach the program that this process becomes."""
    flags = ctypes.c_uint(_CLOSE_RANGE_CLOEXEC)
    _syscall(_CLOSE_RANGE, ctypes.c_uint(first), ctypes.c_uint(0xFFFFFFFF), flags)


@contextlib.contextmanager
def file_owner(owner: int) -> Iterator[None]:
    """Reach files as another user, but keep root's capabilities (setfsuid(2))."""
    # Without the bit the kernel would drop CAP_DAC_OVERRIDE and its kin together with the id.
    bits = ctypes.c_ulong(_SECBIT_NO_SETUID_FIXUP)
    checked(libc.prctl(_PR_SET_SECUREBITS, bits, 0, 0, 0), "prctl PR_SET_SECUREBITS")
    libc.setfsgid(owner)
    libc.setfsuid(owner)
    try:
        yield
    finally:
        libc.setfsuid(0)
        libc.setfsgid(0)
        libc.prctl(_PR_SET_SECUREBITS, ctypes.c_ulong(0), 0, 0, 0)


def _mount(
    source: str | None, target: Path, kind: str | None, flags: int, options: str = ""
) -> None:
    result = libc.mount(
        source.encode() if source is not None else None,
        os.fsencode(target),
        kind.encode() if kind is not None else None,
        ctypes.c_ulong(flags),
        options.encode() or None,
    )
    checked(result, f"mount {kind or source or ''} on {target}")


def _syscall(number: int, *arguments: object) -> int:
    result = libc.syscall(ctypes.c_long(number), *arguments)
    assert isinstance(result, int)  # restype says so
    return checked(result, f"system call {number}")
