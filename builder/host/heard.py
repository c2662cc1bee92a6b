"""Waits that a signal ends, whenever it comes."""

import contextlib
import signal
from collections.abc import Iterator

# Python only notes a signal, and acts on it between two steps of a program. One that is noted just
# before a system call begins to wait does not end that call, and nothing would be done about it
# until the wait is over: for ever, at a console. So the kernel wakes us now and then; a call that
# is woken has Python look, and goes on (PEP 475). Neither forks nor programs inherit the timer.

_PERIOD = 1.0
"""Seconds after which a signal is acted on that came at the worst moment."""


@contextlib.contextmanager
def heard() -> Iterator[None]:
    """Have signals heard that come just before something in the block begins to wait.

    Only the main thread hears signals; in others nothing is done. A program that uses alarms
    itself, and calls a verb, keeps them.
    """
    if not _is_ours():
        yield
        return
    before = signal.setitimer(signal.ITIMER_REAL, _PERIOD, _PERIOD)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, *before)


def _is_ours() -> bool:
    """Tell whether alarms are nobody else's, and do nothing by now.

    They go on doing nothing, since the last one may come when the timer is off already.
    """
    handler = signal.getsignal(signal.SIGALRM)
    if handler is signal.SIG_DFL:
        with contextlib.suppress(ValueError):  # not the main thread
            signal.signal(signal.SIGALRM, _look)
            return True
    return handler is _look


def _look(number: int, frame: object) -> None:
    """Do nothing: that Python comes here is all."""
