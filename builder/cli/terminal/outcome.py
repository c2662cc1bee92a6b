"""The outcome of a command: every way that it can end becomes text and an exit status."""

import _thread
import contextlib
import errno
import os
import select
import signal
import sys
import time
from collections.abc import Callable

from builder.cli import keys
from builder.host import notices
from builder.model.errors import OvenError

ENDING = (signal.SIGTERM, signal.SIGHUP)
"""Signals, beside that of Ctrl-C, by which others end a command."""


def told(work: Callable[[], object]) -> int:
    """Do something and give its exit status; every error that Oven can explain is told."""
    for number in ENDING:
        # What `nohup` has set stays: the command is to outlive its terminal.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, terminate)
    notices.listen(_tell)
    leaves = False
    before, sys.unraisablehook = sys.unraisablehook, _come_again
    try:
        try:
            leaves = keys.interrupt()
            code = work()
        finally:
            sys.unraisablehook = before
            if leaves:
                keys.leave_at_once()
    except KeyboardInterrupt:
        _tell("\ninterrupted")
        return keys.INTERRUPTED
    except Terminated as ended:
        _tell("\ninterrupted")
        return 128 + ended.number
    except BrokenPipeError:
        # The reader has gone, as `oven list | head -1` does; nothing more can be said there.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OvenError as error:
        from builder.cli.terminal.report import show

        show(error)
        return error.exit_code
    except OSError as error:
        return _of_the_system(error)
    except Exception:  # noqa: BLE001  # the one place that turns a bug into a line and a log
        return _bug()
    return code if isinstance(code, int) else 0


class Terminated(BaseException):
    """Somebody wants this process to end: all that is under way is undone, as for Ctrl-C."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def terminate(number: int, frame: object) -> None:  # noqa: ARG001  # the signal module's way
    """Handle SIGTERM, and SIGHUP as the loss of a terminal or of a line to it sends."""
    if keys.is_put_off(number):
        return
    # Once is enough: whoever asks again, as systemd and shells do, must not stop the undoing.
    for each in ENDING:
        signal.signal(each, signal.SIG_IGN)
    _leave_lost_streams()
    raise Terminated(number)


def _come_again(lost: "sys.UnraisableHookArgs") -> None:
    """Have a signal come once more whose exception went nowhere.

    Python acts on signals between any two steps, also in what it calls while an object goes, as
    imports have it do; nobody hears of exceptions there (`sys.unraisablehook`).
    """
    match lost.exc_value:
        case Terminated(number=number):
            for each in ENDING:
                signal.signal(each, terminate)
        case KeyboardInterrupt():
            number = signal.SIGINT
        case _:
            sys.__unraisablehook__(lost)
            return
    # Later, or it would come to the same place.
    _thread.start_new_thread(_send_soon, (number,))


def _send_soon(number: int) -> None:
    time.sleep(0.01)
    os.kill(os.getpid(), number)


def _leave_lost_streams() -> None:
    """Have what nobody reads any more go nowhere: a word about the undoing must not stop it."""
    poll = select.poll()
    for fd in (1, 2):
        poll.register(fd, 0)
    for fd, _ in poll.poll(0):
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, fd)
        os.close(null)


def _tell(text: str) -> None:
    with contextlib.suppress(OSError):  # nobody may be there any more, which stops nothing
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


def _of_the_system(error: OSError) -> int:
    from builder.cli.terminal.report import show
    from builder.host.process import terminal
    from builder.host.trees.durable import disk_error

    if error.errno == errno.EIO and terminal.has_gone():
        # Whoever leads the session has got the signal, and we may be faster.
        _leave_lost_streams()
        return 128 + signal.SIGHUP
    if (told := disk_error(error)) is None:
        return _bug()
    show(told)
    return told.exit_code


def _bug() -> int:
    from builder.cli.terminal.bug import report_bug

    return report_bug()
