"""A disk that dies at its n-th operation, as a power cut or a full disk would have it."""

import errno
from pathlib import Path

from builder.host.trees.durable import Disk


class PowerCut(BaseException):
    """The machine went away; nothing may catch this and go on."""


class FailingDisk(Disk):
    """Does the first `good` operations and then fails.

    With `full` the failure is ENOSPC, which a program may react to; else it is a power cut, which
    leaves a write half done.
    """

    def __init__(self, good: int, *, full: bool = False) -> None:
        self.left = good
        self.full = full

    def _spend(self) -> None:
        if self.left == 0:
            raise OSError(errno.ENOSPC, "No space left on device") if self.full else PowerCut
        self.left -= 1

    def write(self, path: Path, data: bytes) -> None:
        try:
            self._spend()
        except BaseException:
            path.write_bytes(data[: len(data) // 2])
            raise
        super().write(path, data)

    def sync(self, path: Path) -> None:
        self._spend()
        super().sync(path)

    def sync_filesystem(self, path: Path) -> None:
        self._spend()
        super().sync_filesystem(path)

    def rename(self, source: Path, target: Path) -> None:
        self._spend()
        super().rename(source, target)
