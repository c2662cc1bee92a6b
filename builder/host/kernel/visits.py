"""Visits: something done by a fork of this process in namespaces of another one (setns(2))."""

import ctypes
import os
from collections.abc import Callable

from builder.host.kernel.libc import (
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWUSER,
    CLONE_NEWUTS,
    checked,
    libc,
)
from builder.host.kernel.mounts import die_with_parent

_KINDS = {"user": CLONE_NEWUSER, "mnt": CLONE_NEWNS, "uts": CLONE_NEWUTS, "net": CLONE_NEWNET}
_LONGEST = 4096
"""Bytes that a visitor may bring back."""


def visit(
    pid: int,
    namespaces: tuple[str, ...],
    work: Callable[[], bytes],
    *,
    pack: Callable[[], None] | None = None,
) -> bytes:
    """Do something in those namespaces of a process, in that order; give what it brings back.

    With `user` first the visitor has no more power than root in there. `pack` is done before it
    leaves, by the same fork. What fails there is an OSError here.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        refused = 255
        try:
            die_with_parent()
            # All of them are opened first: in another user namespace one may not look any more.
            opened = [(os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC), kind)
                      for kind in namespaces]  # fmt: skip
            if pack is not None:
                pack()
            for fd, kind in opened:
                checked(libc.setns(ctypes.c_int(fd), ctypes.c_int(_KINDS[kind])), "setns")
            os.write(writing, work())
            refused = 0
        except OSError as error:
            refused = error.errno or refused
        finally:
            os._exit(refused)
    os.close(writing)
    try:
        found = os.read(reading, _LONGEST)
    finally:
        os.close(reading)
        _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if code:
        raise OSError(abs(code), os.strerror(abs(code)))
    return found
