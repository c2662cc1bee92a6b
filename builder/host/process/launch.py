"""Launching: a program started in mounts, cgroups and process lists of its own."""

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from functools import partial
from pathlib import Path

import msgspec

from builder.host import pids, programs
from builder.host.kernel import mounts
from builder.host.kernel.libc import CLONE_NEWPID
from builder.host.process import caller
from builder.host.process.guard import end_command
from builder.host.programs import CLEAN_ENVIRONMENT, Command, missing_program
from builder.model.errors import HostError, OvenError

FORWARDED = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
"""Passed on to a program in the foreground; of a terminal's own signals see `attend`."""
_FROM_TERMINAL = (signal.SIGINT, signal.SIGQUIT)
_MEANT = frozenset({*FORWARDED, *_FROM_TERMINAL})
"""Signals that a caller has ignored on purpose, as nohup(1) does."""
_SI_KERNEL = 0x80
"""`si_code` of a signal that the kernel sent, as the terminal does for Ctrl-C (sigaction(2))."""


class Sender(Enum):
    """Where a signal came from."""

    TERMINAL = "terminal"
    PROGRAM = "program"


class Program(msgspec.Struct, frozen=True):
    """What to start: argv, its environment beyond the clean one, and the descriptors it gets."""

    argv: Sequence[str]
    env: Mapping[str, str] = {}
    streams: tuple[int, int, int] = (0, 1, 2)
    """What becomes its stdin, stdout and stderr."""
    keep: tuple[int, ...] = ()
    """Other descriptors that it inherits."""
    guarded: bool = False
    """Whether a guard ends it, so that the kernel need not when this process dies."""
    own_group: bool = False
    """Whether it has a process group of its own: who kills all of ours leaves it to its guard."""
    apart: bool = False
    """Whether it has nothing to do with who has started it, and ignores no signal for that one."""
    plain: bool = False
    """Whether it is scheduled as usual, however this process is."""


def launch(
    program: Program, prepare: Callable[[], None], beside: Callable[[int], None] | None = None
) -> int:
    """Fork, do `prepare` in the child, become the program; give its pid once it has begun.

    `beside` is given that pid and done in this process meanwhile; the program begins after it.
    What goes wrong before that is raised here. The child dies with this process.
    """
    work = partial(_become, program)
    return _fork(work, prepare, program.argv, beside)


def launch_isolated(
    program: Program, prepare: Callable[[], None], beside: Callable[[int], None] | None = None
) -> int:
    """Launch a program as the first of a PID namespace, so that nothing outlives it.

    The pid given is that of a go-between with the same exit status. When this process is killed,
    the kernel kills the go-between, then the program, then all in its namespace.
    """
    work = partial(_go_between, program)
    return _fork(work, prepare, program.argv, beside)


def attend(
    pid: int,
    first: Callable[[], None],
    pass_on: Callable[[int, Sender], None],
    heir: Callable[[], int] | None = None,
) -> int:
    """Wait for a child in the foreground, doing `first` before; give its exit status.

    Signals for this process go to `pass_on`. The terminal sends its own, as for Ctrl-C, to the
    child as well. Where a child does its part and goes, `heir` gives the one that it leaves to us.
    """
    watched = {*FORWARDED, *_FROM_TERMINAL, signal.SIGCHLD}
    old = signal.pthread_sigmask(signal.SIG_BLOCK, watched)
    try:
        first()
        while True:
            done, status = os.waitpid(pid, os.WNOHANG)
            if done and (status or heir is None):
                return _shell_status(status)
            if done and heir is not None:
                pid, heir = heir(), None
                continue
            got = signal.sigwaitinfo(watched)
            if got.si_signo != signal.SIGCHLD:
                # When it goes, though, the one that leads the session hears of it alone.
                to_all = got.si_code == _SI_KERNEL and got.si_signo in _FROM_TERMINAL
                pass_on(got.si_signo, Sender.TERMINAL if to_all else Sender.PROGRAM)
    finally:
        _drop_pending(watched)
        signal.pthread_sigmask(signal.SIG_SETMASK, old)


def capture(pid: int, stream: int, limit: int, timeout: float) -> tuple[int, bytes]:
    """Read what a child prints until it ends; a child that is too loud or slow is killed.

    What it leaves running may keep the stream open, and is not waited for.
    """
    output = bytearray()
    deadline = time.monotonic() + timeout
    poll = select.poll()
    poll.register(stream, select.POLLIN)
    try:
        with pids.hold(pid) as child:
            if not child.gone:
                poll.register(child, select.POLLIN)
            while len(output) < limit and (left := deadline - time.monotonic()) > 0:
                over = child.gone  # asked before, so that it says no more after what is read now
                if not over:
                    poll.poll(left * 1000)
                if select.select([stream], [], [], 0)[0]:
                    if data := os.read(stream, 65536):
                        output += data
                        continue
                    if not child.wait(left):
                        break
                    over = True
                if over:
                    return wait(pid), bytes(output)
    except BaseException:
        _kill(pid)
        raise
    _kill(pid)
    return 128 + signal.SIGKILL, bytes(output)


def wait(pid: int, timeout: float | None = None) -> int:
    """Wait for a child and give its exit status as a shell would; one that is late is killed."""
    if timeout is not None:
        with pids.hold(pid) as child:
            if not child.wait(timeout):
                _kill(pid)
                return 128 + signal.SIGKILL
    return _shell_status(os.waitpid(pid, 0)[1])


def _fork(
    work: Callable[[Callable[[], None], int], None],
    prepare: Callable[[], None],
    argv: Sequence[str],
    beside: Callable[[int], None] | None,
) -> int:
    programs.announce(Command(tuple(argv)))
    parent = os.getpid()
    trouble, report = os.pipe()
    waiting, go = os.pipe()
    # Nothing may come between the fork and the care for the child, which others wait for.
    old = signal.pthread_sigmask(signal.SIG_BLOCK, {*FORWARDED, *_FROM_TERMINAL})
    try:
        pid = os.fork()
    except OSError:
        signal.pthread_sigmask(signal.SIG_SETMASK, old)
        raise
    if pid == 0:
        signal.pthread_sigmask(signal.SIG_SETMASK, old)
        os.close(go)
        with contextlib.suppress(BaseException):
            work(_tied(parent, prepare, waiting), report)
        os._exit(125)
    os.close(report)
    os.close(waiting)
    try:
        try:
            signal.pthread_sigmask(signal.SIG_SETMASK, old)
            if beside is not None:
                beside(pid)
            with contextlib.suppress(BrokenPipeError):  # it has failed, and reports that
                os.write(go, b"g")
        finally:
            os.close(go)
        with open(trouble, "rb") as file:  # noqa: PTH123  # opened by descriptor
            message = file.read()
    except BaseException:
        _kill(pid)
        raise
    if message:
        os.waitpid(pid, 0)
        raise _decode(message)
    return pid


def _kill(pid: int) -> None:
    with mounts.adopting(), contextlib.suppress(ProcessLookupError, ChildProcessError):
        end_command(pid)
        os.waitpid(pid, 0)
        pids.reap_adopted()


def _tied(parent: int, prepare: Callable[[], None], waiting: int) -> Callable[[], None]:
    """Make the preparing process die with the one that forked it, and wait for that one's part."""

    def tie() -> None:
        mounts.die_with_parent()
        if os.getppid() != parent:
            os._exit(125)

    def both() -> None:
        tie()
        prepare()
        # Once more, since a change of the ids that reach files unties it (prctl(2)).
        tie()
        if not os.read(waiting, 1):
            os._exit(125)  # that one has died, which the kernel may be about to tell us
        os.close(waiting)

    return both


def _become(program: Program, prepare: Callable[[], None], report: int) -> None:
    """Turn this process into the program; comes back only when that fails."""
    try:
        prepare()
        _exec(program)
    except BaseException as error:  # noqa: BLE001  # all of them belong to the parent
        os.write(report, _encode(error, program.argv[0]))


def _go_between(program: Program, prepare: Callable[[], None], report: int) -> None:
    # Ctrl-C is for the program; this process has to stay and tell how that ended.
    blocked = {*FORWARDED, *_FROM_TERMINAL}
    old = signal.pthread_sigmask(signal.SIG_BLOCK, blocked)
    try:
        prepare()
        mounts.unshare(CLONE_NEWPID)
        alive, held = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(held)
            _first_process(program, report, alive, old)
            os._exit(125)
    except BaseException as error:  # noqa: BLE001  # all of them belong to the parent
        os.write(report, _encode(error, program.argv[0]))
        return
    os.close(report)
    os.closerange(0, 3)
    _, status = os.waitpid(pid, 0)
    os._exit(_shell_status(status))


def _first_process(
    program: Program, report: int, alive: int, mask: set[int | signal.Signals]
) -> None:
    def prepare() -> None:
        mounts.die_with_parent()
        if select.select([alive], [], [], 0)[0]:
            # The go-between died before the kernel knew of our wish; nobody reads the report.
            os._exit(125)
        mounts.mount_proc(Path("/proc"))
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    _become(program, prepare, report)


def _exec(program: Program) -> None:
    # Duplicated above 2 first, since the source of one may be the target of another.
    copies = [os.dup(stream) for stream in program.streams]
    for target, copy in enumerate(copies):
        os.dup2(copy, target)
    mounts.close_on_exec(3)
    for fd in program.keep:
        os.set_inheritable(fd, True)
    if program.guarded:
        mounts.live_on()
    if program.own_group:
        os.setpgid(0, 0)
    os.chdir("/")
    # What Python ignores is among them (signal(7)).
    caller.plain_signals(frozenset() if program.apart else _MEANT)
    caller.plain_files()
    if program.plain:
        caller.plain_scheduling()
    os.execve(program.argv[0], list(program.argv), {**CLEAN_ENVIRONMENT, **program.env})


def _drop_pending(watched: set[signal.Signals]) -> None:
    """Forget signals that came while the child was ending, or they would hit us now."""
    while signal.sigtimedwait(watched, 0):
        pass


def _shell_status(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return 128 - code if code < 0 else code


def _encode(error: BaseException, program: str) -> bytes:
    if isinstance(error, FileNotFoundError) and error.filename in {program, None}:
        error = missing_program(program)
    if isinstance(error, OvenError):
        kind, problem, hint = type(error).__name__, error.problem, error.hint or ""
    else:
        kind, problem, hint = "HostError", f"cannot set up the container: {error}", ""
    return "\0".join((kind, problem, hint)).encode(errors="replace")


def _decode(message: bytes) -> OvenError:
    kind, problem, hint = message.decode().split("\0")
    return _kinds(OvenError).get(kind, HostError)(problem, hint=hint or None)


def _kinds(top: type[OvenError]) -> dict[str, type[OvenError]]:
    found = {top.__name__: top}
    for below in top.__subclasses__():
        found |= _kinds(below)
    return found
