"""The host name that the processes of another UTS namespace see (uts_namespaces(7))."""

import ctypes
import os

from builder.host.kernel.libc import checked, libc
from builder.host.kernel.visits import visit
from builder.model.errors import HostError


def hostname_of(pid: int) -> str | None:
    """Give the name that a process sees; None when it has ended, or may not be looked at."""
    try:
        return visit(pid, ("uts",), _own).decode(errors="replace")
    except OSError:
        return None


def set_hostname(pid: int, name: str) -> None:
    """Change it for all processes of that namespace; HostError when that is refused."""

    def change() -> bytes:
        word = name.encode()
        checked(libc.sethostname(word, ctypes.c_size_t(len(word))), "sethostname")
        return b""

    try:
        visit(pid, ("uts",), change)
    except OSError as error:
        raise HostError(f"cannot set the host name: {error.strerror}") from error


def _own() -> bytes:
    return os.uname().nodename.encode()
