"""A terminal with a command on it, as a person has one."""

import fcntl
import os
import select
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

PATIENCE = 20.0
"""Seconds after which a command counts as stuck."""


class Terminal:
    """Starts a command in the foreground of this terminal."""

    def __init__(
        self,
        argv: Sequence[str],
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        size: tuple[int, int] = (24, 80),
    ) -> None:
        self.ours, self.theirs = os.openpty()
        self.resize(*size)
        self.before = termios.tcgetattr(self.theirs)
        # As with a person, a shell leads the session: the end of its leader hangs a terminal up.
        self.process = subprocess.Popen(
            ["setsid", "--ctty", "sh", "-c", '"$@"; exit $?', "sh", *argv],
            stdin=self.theirs,
            stdout=self.theirs,
            stderr=self.theirs,
            cwd=cwd,
            env=env,
        )
        self.said = b""

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, data: bytes) -> None:
        os.write(self.ours, data)

    def until(self, word: bytes) -> bytes:
        """Read until `word` is on the screen; give what came, and forget it."""
        deadline = time.monotonic() + PATIENCE
        while word not in self.said:
            left = deadline - time.monotonic()
            ready = select.select([self.ours], [], [], max(left, 0))[0]
            assert ready, f"`{word!r}` never came, but {self.said!r}"
            self.said += os.read(self.ours, 65536)
        head, _, self.said = self.said.partition(word)
        return head + word

    def signal(self, number: int) -> None:
        """Send a signal to the command."""
        pid = self.process.pid
        os.kill(int(Path(f"/proc/{pid}/task/{pid}/children").read_text()), number)

    def restored(self) -> bool:
        """Tell whether the terminal is set as it was before."""
        return termios.tcgetattr(self.theirs) == self.before

    def wait(self) -> int:
        """Wait for the end of the command; give its exit status."""
        deadline = time.monotonic() + PATIENCE
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"the command goes on after {self.said!r}"
            if select.select([self.ours], [], [], 0.05)[0]:
                self.said += os.read(self.ours, 65536)
        while select.select([self.ours], [], [], 0)[0]:
            self.said += os.read(self.ours, 65536)
        return self.process.returncode

    def close(self) -> None:
        if self.process.poll() is None:
            self.signal(9)
            self.process.wait()
        os.close(self.ours)
        os.close(self.theirs)
