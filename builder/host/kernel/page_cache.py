"""Pages: which parts of files are in memory, and which frames of it a process maps."""

import array
import ctypes
import errno
import mmap
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from builder.host.kernel.libc import last_error, libc

PAGE = mmap.PAGESIZE
_CACHESTAT = 451
"""cachestat(2) of Linux 6.5; the same number on every architecture."""
_PRESENT, _FILE, _FRAME = 1 << 63, 1 << 61, (1 << 55) - 1
"""Bits of an entry of `pagemap` (Documentation/admin-guide/mm/pagemap.rst)."""

libc.mmap.restype = ctypes.c_void_p
_START = ctypes.c_long(0)


class _Range(ctypes.Structure):
    _fields_ = (("offset", ctypes.c_uint64), ("length", ctypes.c_uint64))


class _Counted(ctypes.Structure):
    _fields_ = tuple(
        (name, ctypes.c_uint64) for name in ("cached", "dirty", "writeback", "evicted", "recently")
    )


class Area(msgspec.Struct, frozen=True):
    """A part of a process's memory that shows a file."""

    start: int
    end: int
    path: str
    """As the process sees it."""


def cached(fd: int) -> int:
    """Tell how many bytes of an open file are in the page cache."""
    whole, counted = _Range(0, 0), _Counted()
    reply = libc.syscall(
        _CACHESTAT, ctypes.c_int(fd), ctypes.byref(whole), ctypes.byref(counted), ctypes.c_uint(0)
    )
    if reply == 0:
        pages: int = counted.cached
        return pages * PAGE
    if ctypes.get_errno() != errno.ENOSYS:
        raise last_error("")
    return mapped_and_cached(fd)


def areas(pid: int, device: int) -> Iterator[Area]:
    """List what a process maps of the files of one device (proc_pid_maps(5))."""
    wanted = f"{os.major(device):02x}:{os.minor(device):02x}"
    try:
        text = Path(f"/proc/{pid}/maps").read_text(encoding="utf-8", errors="surrogateescape")
    except (FileNotFoundError, ProcessLookupError):
        return
    for line in text.splitlines():
        words = line.split(maxsplit=5)
        if len(words) == 6 and words[3] == wanted:
            start, _, end = words[0].partition("-")
            yield Area(int(start, 16), int(end, 16), words[5])


def frames(pid: int, mapped: list[Area]) -> set[int]:
    """Give the frames of memory with which a process sees files there, each by its number.

    The same number in two processes is the same memory. What a process has changed for itself is
    no file's any more and is left out.
    """
    found: set[int] = set()
    try:
        with open(f"/proc/{pid}/pagemap", "rb", buffering=0) as file:  # noqa: PTH123
            for area in mapped:
                first, last = area.start // PAGE, area.end // PAGE
                entries = array.array("Q")
                entries.frombytes(os.pread(file.fileno(), (last - first) * 8, first * 8))
                found.update(
                    entry & _FRAME for entry in entries if entry & _PRESENT and entry & _FILE
                )
    except (FileNotFoundError, ProcessLookupError):
        pass  # it has ended
    found.discard(0)
    return found


def mapped_and_cached(fd: int) -> int:
    """Tell the same by mincore(2): on older kernels, and of a file seen through an overlay."""
    size = os.fstat(fd).st_size
    if size == 0:
        return 0
    begin = libc.mmap(None, ctypes.c_size_t(size), mmap.PROT_READ, mmap.MAP_SHARED, fd, _START)
    if begin in {None, ctypes.c_void_p(-1).value}:
        raise last_error("")
    try:
        marks = (ctypes.c_ubyte * ((size + PAGE - 1) // PAGE))()
        if libc.mincore(ctypes.c_void_p(begin), ctypes.c_size_t(size), marks) != 0:
            raise last_error("")
        return sum(mark & 1 for mark in marks) * PAGE
    finally:
        libc.munmap(ctypes.c_void_p(begin), ctypes.c_size_t(size))
