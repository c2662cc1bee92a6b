"""The outcome of a command: every way that it can end becomes text and an exit status."""

import os
import signal
import sys
from collections.abc import Callable

from builder.model.errors import OvenError


def told(work: Callable[[], object]) -> int:
    """Do something and give its exit status; every error that Oven can explain is told."""
    signal.signal(signal.SIGTERM, terminate)
    try:
        code = work()
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted\n")
        return 130
    except Terminated:
        sys.stderr.write("\ninterrupted\n")
        return 128 + signal.SIGTERM
    except BrokenPipeError:
        # The reader has gone, as `oven list | head -1` does; nothing more can be said there.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OvenError as error:
        from builder.cli.report import show

        show(error)
        return error.exit_code
    except OSError as error:
        from builder.cli.report import show
        from builder.host.files import disk_error

        if (told := disk_error(error)) is None:
            return _bug()
        show(told)
        return told.exit_code
    except Exception:  # noqa: BLE001  # the one place that turns a bug into a line and a log
        return _bug()
    return code if isinstance(code, int) else 0


class Terminated(BaseException):
    """Somebody wants this process to end: all that is under way is undone, as for Ctrl-C."""


def terminate(number: int, frame: object) -> None:  # noqa: ARG001  # the signal module's way
    """Handle SIGTERM."""
    # Once is enough: whoever asks again, as systemd and shells do, must not stop the undoing.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Terminated


def _bug() -> int:
    from builder.cli.bug import report_bug

    return report_bug()
