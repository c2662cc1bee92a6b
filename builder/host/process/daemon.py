"""Daemons: a program of the host that goes on when the command that started it has ended."""

import contextlib
import os
import signal
from collections.abc import Sequence
from typing import IO

from builder.host import programs
from builder.host.kernel import cgroups, mounts
from builder.host.pids import HeldProcess, hold
from builder.host.programs import (
    CLEAN_ENVIRONMENT,
    Command,
    all_of,
    announce,
    memory_file,
    missing_program,
)
from builder.model.errors import HostError

# Each has a cgroup of its own, named like that of a container: it is found there, whichever pid it
# has and whoever started it, and the end of a login session or service does not end it.


class Starting:
    """A daemon that is about to leave its parent; `wait` for that."""

    def __init__(self, pid: int, output: IO[bytes]) -> None:
        self._pid = pid
        self._output = output

    def wait(self) -> None:
        """Wait until it works on its own; HostError with what it printed when it does not."""
        if not programs.ends(self._pid, programs.PROMPT):
            os.killpg(self._pid, signal.SIGKILL)
            raise HostError(f"it is not ready after {programs.PROMPT:g} seconds, and is given up")
        _, status = os.waitpid(self._pid, 0)
        with self._output:
            said = all_of(self._output).decode(errors="replace").strip()
        if status != 0:
            raise HostError(said or f"it ended with status {os.waitstatus_to_exitcode(status)}")


def start(argv: Sequence[str], cgroup: str) -> Starting:
    """Start a program that becomes a daemon by itself, once it is ready."""
    announce(Command(tuple(argv)))
    output = memory_file()
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(BaseException):
            # Until it has its cgroup nobody else could find it; what it forks then lives on.
            mounts.die_with_parent()
            if os.getppid() != parent:
                os._exit(127)
            _become(argv, cgroup, output.fileno())
        os._exit(127)
    return Starting(pid, output)


class Stopping:
    """A daemon that has been killed; `wait` until it is gone."""

    def __init__(self, cgroup: str, held: Sequence[HeldProcess]) -> None:
        self._cgroup = cgroup
        self._held = held

    def wait(self) -> None:
        """Wait until nothing of it is left."""
        for process in self._held:
            with process:
                process.wait(10)
        cgroups.remove(self._cgroup)


def runs(cgroup: str) -> bool:
    """Tell whether there is one."""
    for pid in cgroups.members(cgroup):
        with hold(pid) as process:
            if not process.gone:
                return True
    return False


def reload(cgroup: str) -> bool:
    """Have a daemon read its files again; False when there is none."""
    held = _signal(cgroup, signal.SIGHUP)
    for process in held:
        process.close()
    return bool(held)


def stop(cgroup: str) -> Stopping:
    """Kill a daemon; none is fine."""
    return Stopping(cgroup, _signal(cgroup, signal.SIGKILL))


def _signal(cgroup: str, number: int) -> list[HeldProcess]:
    """Send a signal to each process of a daemon; give those."""
    found = []
    for pid in cgroups.members(cgroup):
        process = hold(pid)
        if process.gone:
            process.close()
        else:
            process.send(number)
            found.append(process)
    return found


def _become(argv: Sequence[str], cgroup: str, output: int) -> None:
    """Turn this child into the program; comes back only when that fails."""
    os.setsid()
    # Takes up to 20 ms, while the parent goes on.
    cgroups.set_apart(cgroup, os.getpid())
    null = os.open(os.devnull, os.O_RDWR)
    for source, target in ((null, 0), (output, 1), (output, 2)):
        os.dup2(source, target)
    mounts.close_on_exec(3)
    os.chdir("/")
    try:
        os.execve(argv[0], list(argv), dict(CLEAN_ENVIRONMENT))
    except FileNotFoundError:
        os.write(2, missing_program(argv[0]).problem.encode())
