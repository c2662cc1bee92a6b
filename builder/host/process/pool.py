"""Crews: commands that run side by side, and that all end when one wants them to."""

import subprocess
from collections.abc import Callable
from threading import Lock

from builder.host.programs import Command, Done, all_of, announce, memory_file, start


class Crew:
    """Commands that threads run and that another thread can end."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._ending = False

    def follow(self, command: Command, each: Callable[[str], None]) -> Done:
        """Run a command, and hand over each line that it says on stderr as soon as it is there.

        It hears nothing of Ctrl-C, so that it is asked to end once only, and can undo in peace.
        """
        announce(command)
        with memory_file() as stdout:
            none, pipe = subprocess.DEVNULL, subprocess.PIPE
            with start(command, stdin=none, stdout=stdout, stderr=pipe, alone=True) as process:
                self._add(process)
                assert process.stderr is not None
                for line in process.stderr:
                    each(line.decode(errors="replace").rstrip("\n"))
                code = process.wait()
                with self._lock:
                    self._running.discard(process)
            return Done(code, all_of(stdout), b"")

    def end(self) -> None:
        """Ask all that run to end, and those that are about to start."""
        with self._lock:
            self._ending = True
            for process in self._running:
                process.terminate()

    def _add(self, process: subprocess.Popen[bytes]) -> None:
        with self._lock:
            self._running.add(process)
            if self._ending:
                process.terminate()
