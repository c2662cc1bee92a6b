"""Doing one thing to many: a few processes at a time, each of which tells for itself."""

import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from types import FrameType

Handlers = Mapping[signal.Signals, Callable[[int, FrameType | None], object] | int | None]

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def for_each(names: Sequence[str], work: Callable[[str], int], *, at_once: int) -> int:
    """Fork a process for each name, so many at once; give the first exit status that is not 0.

    What is asked of this process by a signal is asked of all of them, and all are waited for.
    """
    if len(names) == 1:
        return work(names[0])
    waiting, running, worst = list(names), set[int](), 0
    ending = _Ending(running)
    asked = [one for one in _ENDING if signal.getsignal(one) is not signal.SIG_IGN]
    old = {number: signal.signal(number, ending) for number in asked}
    try:
        while running or (waiting and not ending.asked):
            if waiting and len(running) < at_once and not ending.asked:
                running.add(_fork(waiting.pop(0), work, old))
                continue
            pid, status = os.wait()
            if pid in running:
                running.discard(pid)
                worst = worst or _code(status)
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
    return worst or ending.asked


class _Ending:
    """Passes a signal on; Ctrl-C has reached all of them already."""

    def __init__(self, running: set[int]) -> None:
        self._running = running
        self.asked = 0

    def __call__(self, number: int, frame: object) -> None:  # noqa: ARG002  # the signal module's way
        self.asked = 128 + number
        if number != signal.SIGINT:
            for pid in self._running:
                os.kill(pid, number)


def _fork(name: str, work: Callable[[str], int], handlers: Handlers) -> int:
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            for number, handler in handlers.items():
                signal.signal(number, handler)
            code = work(name)
            sys.stdout.flush()
        finally:
            os._exit(code)
    return pid


def _code(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code
