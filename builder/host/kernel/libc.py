"""The C library, for calls that Python has no function for, and the numbers of linux/mount.h."""

import ctypes
import os

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long

# linux/sched.h
CLONE_NEWTIME = 0x00000080
CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

# linux/mount.h, and sys/mount.h for the last one
MS_NOSUID = 1 << 1
MS_NODEV = 1 << 2
MS_NOEXEC = 1 << 3
MS_BIND = 1 << 12
MS_MOVE = 1 << 13
MS_REC = 1 << 14
MS_PRIVATE = 1 << 18
MS_SLAVE = 1 << 19
MS_SHARED = 1 << 20
MNT_DETACH = 2
UMOUNT_NOFOLLOW = 8


def checked(result: int, what: str) -> int:
    """Give what a call has returned; raises OSError, which names what failed, for less than 0."""
    if result < 0:
        raise last_error(what)
    return result


def last_error(what: str) -> OSError:
    """Make the error of the last call that failed in this thread."""
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), what)
