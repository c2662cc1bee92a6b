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
    before = signal.getitimer(signal.ITIMER_REAL)
    try:
        signal.setitimer(signal.ITIMER_REAL, _PERIOD, _PERIOD)
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, *before)


def _is_ours() -> bool:
    """Tell whether alarms are nobody else's, and this is the main thread; then they do nothing.

    They go on doing nothing, since the last one may come when the timer is off already.
    """
    if signal.getsignal(signal.SIGALRM) not in {signal.SIG_DFL, _look}:
        return False
    try:
        signal.signal(signal.SIGALRM, _look)
    except ValueError:  # another thread: the timer is one for all of them
        return False
    return True


def _look(number: int, frame: object) -> None:
    """Do nothing: that Python comes here is all."""
