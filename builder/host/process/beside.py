"""Programs at work at the same time, each of which is waited for."""

import os
import signal
from collections.abc import Callable, Sequence
from typing import IO

from builder.host.programs import (
    CLEAN_ENVIRONMENT,
    Command,
    Done,
    all_of,
    announce,
    ends,
    find_program,
    hung,
    memory_file,
    missing_program,
)


def side_by_side(
    commands: Sequence[Command], meanwhile: Callable[[], None] | None = None
) -> list[Done]:
    """Run commands on this machine at the same time, and do something else beside them.

    Waits for all; kills them on Ctrl-C. They take no folder and no descriptors. The network of a
    container hangs on this, so it does without `subprocess`, which is slow to import.
    """
    running: list[_Running] = []
    try:
        for command in commands:
            announce(command)
            running.append(_spawn(command))
        if meanwhile is not None:
            meanwhile()
        return [_ended(one) for one in running]
    except BaseException:
        for one in running:
            if not one.ended:
                os.killpg(one.pid, signal.SIGKILL)
                _ended(one)
        raise


class _Running:
    """A program under way; all that it reads and prints is in memory, so that it never waits."""

    def __init__(self, command: Command, pid: int, stdout: IO[bytes], stderr: IO[bytes]) -> None:
        self.command = command
        self.pid = pid
        self.stdout = stdout
        self.stderr = stderr
        self.ended = False


def _spawn(command: Command) -> _Running:
    program = find_program(command.argv[0])
    if program is None:
        raise missing_program(command.argv[0])
    files = (memory_file(), memory_file(), memory_file())
    files[0].write(command.stdin)
    files[0].seek(0)
    actions = [(os.POSIX_SPAWN_DUP2, file.fileno(), fd) for fd, file in enumerate(files)]
    environment = {**CLEAN_ENVIRONMENT, **command.env}
    with files[0]:
        # Python ignores these two; a program must not inherit that (signal(7)).
        usual = (signal.SIGPIPE, signal.SIGXFSZ)
        pid = os.posix_spawn(
            program,
            command.argv,
            environment,
            file_actions=actions,
            setsigdef=usual,
            setpgroup=0,
        )
    return _Running(command, pid, *files[1:])


def _ended(one: _Running) -> Done:
    if not ends(one.pid, one.command.limit):
        raise hung(one.command)
    _, status = os.waitpid(one.pid, 0)
    one.ended = True
    with one.stdout, one.stderr:
        return Done(os.waitstatus_to_exitcode(status), all_of(one.stdout), all_of(one.stderr))
