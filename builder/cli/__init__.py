"""Words and colors: what a person types and reads."""

import os
import sys

from builder.cli import keys


def main() -> None:
    """Run the command line and end the process with its exit code."""
    keys.leave_at_once()
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # It was closed, as by `>&-`; else the next file that is opened would be in its place.
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115  # kept
    if sys.argv[1:] == ["--version"]:
        # Answered before click is imported, which would triple the time that this takes.
        from builder import __version__

        sys.stdout.write(f"oven {__version__}\n")
        return
    import contextlib
    import gc
    import signal

    # A caller may have held signals back, or have let the kernel wait for its children, as Perl's
    # `$SIG{CHLD} = 'IGNORE'` does; none of that is for us.
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    # What imports make stays; looking for garbage in it again and again costs a tenth of a start.
    gc.set_threshold(20_000, 20, 20)
    from builder.cli.quick import work_of

    work = work_of(sys.argv[1:])
    if work is not None:
        from builder.cli.terminal.outcome import told

        code = told(work)
    else:
        from builder.cli.app import run

        code = run(sys.argv[1:])
    # Taking the interpreter apart takes longer than many a verb; the kernel does it at once.
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)
