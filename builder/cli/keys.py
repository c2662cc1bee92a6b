"""Ctrl-C: what it does before a command has begun, while it works, and when it is done."""

import _signal  # type: ignore[import-not-found]  # typeshed knows only `signal`, which is slower
import os

INTERRUPTED = 130


def leave_at_once() -> None:
    """Have Ctrl-C end this process without a word: nothing has begun, or all is done."""
    if _signal.getsignal(_signal.SIGINT) in {_signal.default_int_handler, _interrupt}:
        _signal.signal(_signal.SIGINT, _leave)


def interrupt() -> bool:
    """Have Ctrl-C interrupt what is under way, to be undone; tell whether it would leave."""
    leaves = _signal.getsignal(_signal.SIGINT) is _leave
    if leaves:
        _signal.signal(_signal.SIGINT, _interrupt)
    return leaves


def is_put_off(number: int) -> bool:
    """Have a signal wait for as long as this thread holds it back; tell whether it does.

    Threads of a pool hear all signals, so that the programs do which they start. One of them may
    take the signal then, but Python has its handler run in this thread, whatever that holds back.
    """
    held = number in _signal.pthread_sigmask(_signal.SIG_BLOCK, ())
    if held:
        _signal.raise_signal(number)  # to this thread itself, as raise(3) does
    return held


def _interrupt(number: int, frame: object) -> None:  # noqa: ARG001  # the signal module's way
    if not is_put_off(number):
        raise KeyboardInterrupt


def _leave(number: int, frame: object) -> None:  # noqa: ARG001  # the signal module's way
    os._exit(INTERRUPTED)
