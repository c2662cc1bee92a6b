"""Waiting for files to change, without looking again and again."""

import os
import select
from pathlib import Path
from types import TracebackType
from typing import Self

from builder.host.heard import heard
from builder.host.kernel.libc import last_error, libc

_IN_MODIFY = 0x2
_IN_CREATE = 0x100
_IN_MOVED_TO = 0x80
_IN_DELETE_SELF = 0x400
_IN_MOVE_SELF = 0x800


class Folder:
    """Watches the files of one folder (inotify(7))."""

    def __init__(self, path: Path) -> None:
        self._fd = int(libc.inotify_init1(os.O_CLOEXEC))
        events = _IN_MODIFY | _IN_CREATE | _IN_MOVED_TO | _IN_DELETE_SELF | _IN_MOVE_SELF
        if self._fd < 0 or libc.inotify_add_watch(self._fd, os.fsencode(path), events) < 0:
            raise last_error(str(path))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._fd)

    def wait(self, timeout: float | None = None) -> None:
        """Wait until something has changed since the last call, or so many seconds."""
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        with heard():
            if poll.poll(None if timeout is None else timeout * 1000):
                os.read(self._fd, 65536)
