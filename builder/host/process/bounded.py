"""Work on what a stranger wrote, done by a process that may take only so much time and memory."""

import contextlib
import faulthandler
import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path
from typing import IO

import msgspec

from builder.host.kernel.mounts import die_with_parent
from builder.host.programs import all_of, memory_file


class Bounds(msgspec.Struct, frozen=True):
    """What the work may take."""

    seconds: int
    """Of a processor: a machine with much else to do changes nothing."""
    memory: int
    """Bytes, beyond what this process has now."""


class Ended(msgspec.Struct, frozen=True):
    """How the work ended."""

    written: bytes
    trace: str
    """Where it was when its time was over (faulthandler); nothing when it was not."""


def within(bounds: Bounds, work: Callable[[IO[bytes]], None]) -> Ended:
    """Do something in a fork of this process; give what it wrote into the file that it is given.

    Too much memory is a MemoryError in the work, and what the host refuses it an OSError here. A
    fork costs some milliseconds, and a new Python would cost a hundred.
    """
    parent = os.getpid()
    with memory_file() as output, memory_file() as trace:
        child = os.fork()
        if child == 0:
            refused = 0
            with contextlib.suppress(BaseException):
                try:
                    _keep_within(bounds, parent, trace)
                    work(output)
                    output.flush()
                except OSError as error:
                    refused = error.errno or 0
            os._exit(refused)
        try:
            _, status = os.waitpid(child, 0)
        except BaseException:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            raise
        if os.WIFEXITED(status) and (refused := os.WEXITSTATUS(status)):
            raise OSError(refused, os.strerror(refused))
        return Ended(all_of(output), all_of(trace).decode(errors="replace"))


def _keep_within(bounds: Bounds, parent: int, trace: IO[bytes]) -> None:
    die_with_parent()
    if os.getppid() != parent:
        os._exit(0)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)  # undoing is for the one that waits
    # The kernel ends it a second after it was told, so that it can say where it is: in C, too.
    faulthandler.register(signal.SIGXCPU, file=trace, all_threads=False)
    resource.setrlimit(resource.RLIMIT_CPU, (bounds.seconds, bounds.seconds + 1))
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    memory = pages * resource.getpagesize() + bounds.memory
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    memory = memory if most == resource.RLIM_INFINITY else min(memory, most)
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
