"""openat2(2), which opens a path by rules, and which the C library has no function for."""

import ctypes
import errno
import os

from builder.host.kernel.libc import last_error, libc

_OPENAT2 = 437
"""The system call's number, the same on every architecture (asm-generic/unistd.h)."""
NO_CROSSING, NO_MAGICLINKS, NO_SYMLINKS, BENEATH, IN_ROOT = 0x01, 0x02, 0x04, 0x08, 0x10
"""Rules (RESOLVE_* of linux/openat2.h): enter no mount; no link of /proc; no link; stay below."""
_RACES = 128
"""openat2 gives EAGAIN when somebody renames folders under a `..`; the man page says: try again."""


class _How(ctypes.Structure):
    """`struct open_how` of openat2(2)."""

    _fields_ = (
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    )


# By its index it is a function of its own, whose arguments are nobody else's.
_syscall = libc["syscall"]
_syscall.restype = ctypes.c_long
_syscall.argtypes = (
    ctypes.c_long,
    ctypes.c_long,
    ctypes.c_char_p,
    ctypes.POINTER(_How),
    ctypes.c_size_t,
)


def openat2(root: int, path: str, flags: int, resolve: int) -> int:
    """Open a path below a folder, and give the descriptor; `resolve` are the rules."""
    how = _How(flags, 0, resolve)
    encoded = os.fsencode(path.strip("/") or ".")
    if b"\0" in encoded:
        raise OSError(errno.EINVAL, "a path cannot hold a NUL", path)
    for _ in range(_RACES):
        fd: int = _syscall(_OPENAT2, root, encoded, ctypes.byref(how), ctypes.sizeof(how))
        if fd >= 0:
            return fd
        if ctypes.get_errno() not in {errno.EAGAIN, errno.EINTR}:
            break
    raise last_error(path)
