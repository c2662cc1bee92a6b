"""File systems: which one a path lies on."""

import ctypes
import os
from pathlib import Path

from builder.host.kernel.libc import libc

EXT4, XFS, BTRFS, F2FS = 0xEF53, 0x58465342, 0x9123683E, 0xF2F52010
"""What statfs(2) calls them (linux/magic.h)."""


def filesystem_type(path: Path) -> int:
    """Give `f_type` of statfs(2), which Python does not; it is the first long of the struct."""
    buffer = (ctypes.c_long * 32)()
    if libc.statfs(os.fsencode(path), buffer) != 0:
        return 0
    return int(buffer[0])
