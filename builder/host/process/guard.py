"""Guards: small processes that end a command in a container when whoever started it is killed."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from builder.host import pids
from builder.host.kernel import mounts

# An OCI runtime starts a command among the processes of a container, and that one lives on when the
# runtime is killed: nothing that the kernel does for children of a killed process reaches it. So a
# process stands by that only waits for the end of ours, which closes a pipe; then it ends the
# command as the loss of a terminal would: all of its session (setsid(2)). What the command has sent
# to a session of its own, as daemons do, stays. A runtime that leaves the command to us and goes
# has written its pid to a file before.

Settings = list[int | list[bytes | int]]
"""How a terminal is set, as tcgetattr(3) gives it."""

_DEAF_TO = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})

_ROUNDS = 100
"""How often processes are looked for again that were forked meanwhile."""


class Guard:
    """Stands by from its making to its end; `over` says which child of ours to end."""

    def __init__(
        self, litter: Sequence[Path], terminal: Settings | None = None, begun: Path | None = None
    ) -> None:
        """Fork the guard.

        `litter` are files to remove afterwards; `terminal` is what tcgetattr(3) said of stdin, to
        be restored; `begun` will hold the pid of the command.
        """
        self._child = 0
        reading, self._writing = map(_above_streams, os.pipe())
        # Blocked in the guard from its first instruction on: a terminal may go at any moment.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _DEAF_TO)
        try:
            self._pid = os.fork()
        except OSError:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            raise
        if self._pid == 0:
            with contextlib.suppress(BaseException):
                os.close(self._writing)
                _stand_by(reading, litter, begun, terminal)
            os._exit(0)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        os.close(reading)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            # Or it would take the closed pipe for our death, as it is to do after an error.
            os.kill(self._pid, signal.SIGKILL)
        with mounts.adopting():
            os.close(self._writing)
            os.waitpid(self._pid, 0)
            if error is not None and self._child:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(self._child, 0)
                pids.reap_adopted()

    def over(self, child: int) -> None:
        """Tell the guard of the runtime, and later of the command if that one leaves it to us."""
        self._child = child
        os.write(self._writing, f"{child}\n".encode())


def end_command(runtime: int) -> None:
    """End a runtime that runs a command in a container, and the command, which would live on.

    Where the runtime has gone, it is given the command itself, which leads a session.
    """
    if _end_session(runtime):
        return
    try:
        os.kill(runtime, signal.SIGSTOP)  # it must not start the command after we have looked
    except ProcessLookupError:
        return
    mine = _session(runtime)
    sessions: set[int] = set()

    def doomed() -> set[int]:
        sessions.update({_session(pid) for pid in pids.children(runtime)} - {0, mine})
        # Before the command begins, the runtime's helpers are still in our session.
        helpers = {pid for pid in pids.below(runtime) if _session(pid) == mine}
        return _members(sessions) | helpers

    _kill_all(doomed)
    with contextlib.suppress(ProcessLookupError):
        os.kill(runtime, signal.SIGKILL)


def _end_session(leader: int) -> bool:
    """End a process and all of its session, if it leads one."""
    if _session(leader) != leader:
        return False
    _kill_all(lambda: _members({leader}))
    return True


def _kill_all(doomed: Callable[[], set[int]]) -> None:
    for _ in range(_ROUNDS):
        living = [pid for pid in doomed() if _is_alive(pid)]
        if not living:
            break
        for pid in living:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)


def _members(sessions: set[int]) -> set[int]:
    return {pid for pid in _processes() if _session(pid) in sessions}


def _above_streams(fd: int) -> int:
    """Move a descriptor out of the way where a stream was closed, which the command inherits."""
    if fd > 2:
        return fd
    import fcntl

    moved = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)
    os.close(fd)
    return moved


def _stand_by(
    reading: int, litter: Sequence[Path], begun: Path | None, terminal: Settings | None
) -> None:
    os.setsid()  # what a terminal sends is not for us
    # Whoever reads our stdout must not wait for us.
    kept = os.dup2(reading, 4)
    screen = os.dup2(0, 3) if terminal is not None else None
    os.closerange(0, 3 if screen else 4)
    os.closerange(5, 1 << 20)
    told = _listen(kept)
    for pid, process in told:
        if not process.gone:
            end_command(pid)
    if len(told) == 1 and begun is not None:
        # The runtime may have gone or been killed with us, and nobody was left to tell.
        with contextlib.suppress(FileNotFoundError, ValueError):
            _end_session(int(begun.read_text(encoding="ascii")))
    for file in litter:
        file.unlink(missing_ok=True)
    if screen is not None and terminal is not None:
        import termios

        termios.tcsetattr(screen, termios.TCSANOW, terminal)


def _listen(kept: int) -> list[tuple[int, pids.HeldProcess]]:
    """Hold what we are told of, until whoever tells has ended.

    Without, the pid of one that has gone might be somebody else's by then.
    """
    told: list[tuple[int, pids.HeldProcess]] = []
    while data := os.read(kept, 64):
        told += [(int(word), pids.hold(int(word))) for word in data.split()]
    return told


def _processes() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _session(pid: int) -> int:
    return int(_stat(pid)[3])


def _is_alive(pid: int) -> bool:
    return _stat(pid)[0] not in {b"Z", b"X"}


def _stat(pid: int) -> list[bytes]:
    """Give the fields of /proc/PID/stat from the state on (proc_pid_stat(5))."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return [b"X", b"0", b"0", b"0"]
