"""Logs: what builds said, kept beside what they made, the last few of each template."""

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# A log loses nothing but words: where it cannot be written, the build goes on without.

FOLDER = "logs"

KEPT = 5
"""So many logs stay of each template and architecture; the oldest go."""

MOST = 8 << 20
"""Bytes of a log; of what comes later only the end of the build is written."""

_ENDED = 64 << 10
"""Bytes for that."""


@dataclass(frozen=True, slots=True)
class KeptLog:
    """The log of one build."""

    path: Path
    name: str
    """The template's."""
    arch: str
    began: str
    """In UTC, as people write it."""
    size: int

    @property
    def outcome(self) -> str:
        """Give its last line, which says how the build ended; one that was killed says nothing."""
        with self.path.open("rb") as file:
            file.seek(-min(self.size, _ENDED), os.SEEK_END)
            lines = file.read().decode(errors="replace").splitlines()
        return lines[-1].partition(" ")[2] if lines else ""


class LogFile:
    """A log while its build goes on."""

    def __init__(self, root: Path, name: str, arch: str) -> None:
        began = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        self.path = root / FOLDER / f"{name}_{arch}_{began}-{os.getpid()}.log"
        self._left = MOST
        self._fd: int | None = None
        with contextlib.suppress(OSError):
            self.path.parent.mkdir(exist_ok=True)
            # Each line is there as soon as it is said: a build may be killed.
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            self._fd = os.open(self.path, flags, 0o600)

    def write(self, text: str) -> None:
        """Add lines, the time before the first of them."""
        if self._left <= 0:
            return
        data = _dated(text)
        self._left -= len(data)
        self._add(data if self._left > 0 else b"(more was said than a log holds)\n")

    def end(self, text: str) -> None:
        """Add how the build ended, and remove older logs of the template."""
        self._add(_dated(text)[-_ENDED:])
        self._close()
        name, arch, _ = self.path.name.rsplit("_", 2)
        mine = [
            one for one in logs(self.path.parent.parent) if (one.name, one.arch) == (name, arch)
        ]
        for one in mine[:-KEPT]:
            with contextlib.suppress(OSError):
                one.path.unlink()

    def drop(self) -> None:
        """Leave no log: there was nothing to be done."""
        self._close()
        with contextlib.suppress(OSError):
            self.path.unlink()

    def _add(self, data: bytes) -> None:
        if self._fd is not None:
            with contextlib.suppress(OSError):
                os.write(self._fd, data)

    def _close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def logs(root: Path) -> list[KeptLog]:
    """Give the logs that a store has, the oldest first."""
    found = []
    for path in _files(root / FOLDER):
        name, arch, began = path.stem.rsplit("_", 2)
        with contextlib.suppress(ValueError, FileNotFoundError):  # not one of these; just pruned
            when = time.strptime(began.partition("-")[0], "%Y%m%dT%H%M%SZ")
            shown = time.strftime("%Y-%m-%d %H:%M:%S UTC", when)
            found.append(KeptLog(path, name, arch, shown, path.stat().st_size))
    return sorted(found, key=lambda one: (one.began, one.path))


def _files(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        yield from (path for path in folder.glob("*.log") if path.stem.count("_") >= 2)


def _dated(text: str) -> bytes:
    return f"{time.strftime('%H:%M:%S', time.gmtime())} {text}\n".encode(errors="replace")
