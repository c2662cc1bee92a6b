"""Threads: a pool of them, of which Ctrl-C makes none be forgotten."""

import signal
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from builder.host.pids import undisturbed

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Threads(ThreadPoolExecutor):
    """Threads that are all waited for at the end of the `with` that they are used in.

    One that had begun when Ctrl-C came, and was not yet known to the pool, would go on when the
    command has cleaned up after it.
    """

    def __init__(self, max_workers: int | None = None) -> None:
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        # What a thread starts is to hear signals as ever.
        super().__init__(
            max_workers, initializer=signal.pthread_sigmask, initargs=(signal.SIG_SETMASK, mask)
        )

    def submit(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        """Have a thread call a function."""
        with undisturbed():
            return super().submit(fn, *args, **kwargs)
