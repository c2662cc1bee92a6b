"""Errands: several things done at once, each by a fork that has only so much time."""

import os
import select
import signal
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import IO

import msgspec

from builder.host.kernel.mounts import die_with_parent
from builder.host.pids import HeldProcess, hold, undisturbed
from builder.host.programs import all_of, memory_file

# Processes and no threads: what is done may enter namespaces and start programs, and only a process
# can be ended wherever it hangs.

_MOST = 32
"""Errands at the same time."""
_BUG = 70


class Errand(msgspec.Struct, frozen=True):
    """Something to do, and how many seconds it has for that."""

    work: Callable[[], bytes]
    seconds: float


class Back(msgspec.Struct, frozen=True):
    """What came of an errand."""

    brought: bytes | None
    """None when its time was over."""
    seconds: float
    """How long it took."""


def at_once(errands: Sequence[Errand]) -> list[Back]:
    """Do all of them side by side; give what came of each, in the same order."""
    found: list[Back] = []
    for first in range(0, len(errands), _MOST):
        with ExitStack() as stack:
            running = [_begin(one, stack) for one in errands[first : first + _MOST]]
            _wait(running)
            found += [one.back() for one in running]
    return found


class _Running:
    """A fork that is under way."""

    def __init__(self, errand: Errand, pid: int, process: HeldProcess, output: IO[bytes]) -> None:
        self.process = process
        self.begun = time.monotonic()
        self.deadline = self.begun + errand.seconds
        self._pid, self._output = pid, output
        self._ended: float | None = None
        self._status: int | None = None

    def end(self) -> None:
        """Kill it if it still runs, and take its status."""
        if self._status is None:
            self.process.send(signal.SIGKILL)
            self._status = os.waitpid(self._pid, 0)[1]

    def over(self, now: float) -> bool:
        """See whether it has ended, or is out of time, which ends it."""
        if self._ended is None and (self.process.gone or now >= self.deadline):
            self._ended = now
            self.end()
        return self._ended is not None

    def back(self) -> Back:
        """Give what came of it; a mistake of ours in there is one here."""
        assert self._status is not None  # it was waited for
        said, took = all_of(self._output), (self._ended or self.begun) - self.begun
        code = os.waitstatus_to_exitcode(self._status)
        if code == _BUG:
            raise RuntimeError(said.decode(errors="replace"))
        return Back(said if code == 0 else None, took)


def _begin(errand: Errand, stack: ExitStack) -> _Running:
    output = stack.enter_context(memory_file())
    parent, mask = os.getpid(), signal.pthread_sigmask(signal.SIG_BLOCK, ())
    # Nothing may come between the fork and the care for the child.
    with undisturbed():
        pid = os.fork()
        if pid == 0:
            _do(errand, output, parent, mask)
        running = _Running(errand, pid, stack.enter_context(hold(pid)), output)
        stack.callback(running.end)
    return running


def _do(errand: Errand, output: IO[bytes], parent: int, mask: set[int]) -> None:
    """Do it, write what it brings, and end; never returns."""
    code = 1
    try:
        die_with_parent()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)  # undoing is for the one that waits
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if os.getppid() == parent:
            output.write(errand.work())
            code = 0
    except BaseException:  # noqa: BLE001  # it is told by the one that waits
        output.write(traceback.format_exc().encode())
        code = _BUG
    finally:
        output.flush()
        os._exit(code)


def _wait(running: Sequence[_Running]) -> None:
    """Wait until each has ended, by itself or because its time was over."""
    while left := [one for one in running if not one.over(time.monotonic())]:
        poll = select.poll()
        for one in left:
            poll.register(one.process, select.POLLIN)
        soonest = min(one.deadline for one in left)
        poll.poll(max(soonest - time.monotonic(), 0) * 1000 + 1)
