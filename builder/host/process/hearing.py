"""Programs that are heard while they work: each line that they print, as it comes."""

import signal
from collections.abc import Callable

from builder.host.programs import Command, Done, all_of, announce, memory_file, start

_LEAVE = 10.0
"""Seconds for a program that was asked to end, to give back what it has locked elsewhere."""


def hearing(command: Command, hear: Callable[[bytes], None]) -> Done:
    """Run a command on this machine and give each line of its stdout to `hear`; wait for it.

    On Ctrl-C it is asked to end first. What it is told of has no stdout.
    """
    import subprocess

    announce(command)
    with memory_file() as stderr, memory_file() as stdin:
        stdin.write(command.stdin)
        stdin.seek(0)
        process = start(command, stdin=stdin.fileno(), stdout=subprocess.PIPE, stderr=stderr)
        with process:
            try:
                assert process.stdout is not None  # as it was asked for
                for line in process.stdout:
                    hear(line)
                code = process.wait()
            except BaseException:
                process.send_signal(signal.SIGINT)
                try:
                    process.wait(_LEAVE)
                except subprocess.TimeoutExpired:
                    process.kill()
                raise
        return Done(code, b"", all_of(stderr))
