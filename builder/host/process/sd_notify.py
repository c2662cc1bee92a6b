"""Readiness: what a container's init says of itself, by the protocol of sd_notify(3)."""

import os
import select
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from builder.host.heard import heard
from builder.host.pids import HeldProcess
from builder.host.trees.removal import remove_below


class Listener:
    """Receives the messages that an init sends to `$NOTIFY_SOCKET`."""

    def __init__(self, path: Path) -> None:
        import socket  # late: `oven run -- CMD` comes by here and needs none

        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            # By descriptors: the container may have been running, and have put a link there.
            remove_below(folder, path.name)
            # The name of a socket has at most 107 bytes (unix(7)); the way through /proc is short.
            self._socket.bind(f"/proc/self/fd/{folder}/{path.name}")
            made = os.open(path.name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
        finally:
            os.close(folder)
        try:
            # Whoever is root inside may write to it; the folder around it is root's alone.
            os.chmod(f"/proc/self/fd/{made}", 0o666)  # noqa: PTH101  # by descriptor
        finally:
            os.close(made)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.close()

    def fileno(self) -> int:
        """Give the descriptor that has to be kept open to hear more."""
        return self._socket.fileno()

    def wait_ready(self, process: HeldProcess, timeout: float) -> str:
        """Wait for READY=1; give `ready`, `ended` when the process did first, or `late`."""
        deadline = time.monotonic() + timeout
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        poll.register(process, select.POLLIN)
        while True:
            left = deadline - time.monotonic()
            with heard():
                events = dict(poll.poll(max(left, 0) * 1000))
            if self._socket.fileno() in events:
                message = self._socket.recv(4096)
                if b"READY=1" in message.split(b"\n"):
                    return "ready"
            elif process.fileno() in events:
                return "ended"
            if left <= 0:
                return "late"
