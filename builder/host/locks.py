"""Waiting for a lock that another command has: who that is, is told; a signal ends the waiting."""

import fcntl
import os
import time
from pathlib import Path

from builder.host import notices, pids

PATIENCE = 1.0
"""Seconds of waiting that are not worth a word."""
_LONGEST = 100
"""Characters of a command line that are shown."""


def lock(fd: int, what: str) -> None:
    """Lock an open file for nobody else (flock(2)), however long that takes.

    `what` says what that keeps others from, such as "container `web`".
    """
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        _wait(fd, what)


def _wait(fd: int, what: str) -> None:
    import threading  # it hardly ever comes to this

    timer = threading.Timer(PATIENCE, lambda: notices.tell(_told(fd, what)))
    timer.daemon = True
    timer.start()
    try:
        with pids.disturbed():
            fcntl.flock(fd, fcntl.LOCK_EX)
    finally:
        timer.cancel()
        timer.join()  # whoever forks has no other thread then


def _told(fd: int, what: str) -> str:
    pid = _holder(fd)
    if pid is None:
        return f"waiting for another command, which is at work on {what}"
    since = time.strftime("%H:%M:%S", time.localtime(pids.began(pid)))
    words = pids.command_line(pid)[:_LONGEST]
    return f"waiting for `{words}` (pid {pid}, since {since}), which is at work on {what}"


def _holder(fd: int) -> int | None:
    """Find who has locked a file (proc_locks(5)); None where that cannot be seen."""
    status = os.fstat(fd)
    place = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    for line in Path("/proc/locks").read_text(encoding="ascii").splitlines():
        words = line.split()
        if words[1] == "FLOCK" and words[5] == place and int(words[4]) > 0:
            return int(words[4])
    return None
