"""Ctrl-C: what it does before a command has begun, while it works, and when it is done."""

import _signal  # type: ignore[import-not-found]  # typeshed knows only `signal`, which is slower
import os

INTERRUPTED = 130


def leave_at_once() -> None:
    """Have Ctrl-C end this process without a word: nothing has begun, or all is done."""
    if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
        _signal.signal(_signal.SIGINT, _leave)


def interrupt() -> bool:
    """Have Ctrl-C interrupt what is under way, to be undone; tell whether it would leave."""
    leaves = _signal.getsignal(_signal.SIGINT) is _leave
    if leaves:
        _signal.signal(_signal.SIGINT, _signal.default_int_handler)
    return leaves


def _leave(number: int, frame: object) -> None:  # noqa: ARG001  # the signal module's way
    os._exit(INTERRUPTED)
