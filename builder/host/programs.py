"""Programs: how Oven runs one, and how a failure is told."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol

import msgspec

from builder.host.pids import FOREVER, UNDISTURBED, disturbed, hold
from builder.model.errors import HostError, StageError

if TYPE_CHECKING:
    import subprocess

CLEAN_ENVIRONMENT: Mapping[str, str] = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC",
}
"""What a program sees unless its command says more; nothing is inherited."""


class Command(msgspec.Struct, frozen=True):
    """A program to run: argv, what it reads, and the environment beyond the clean one."""

    argv: tuple[str, ...]
    stdin: bytes = b""
    env: Mapping[str, str] = {}
    cwd: Path | None = None
    pass_fds: tuple[int, ...] = ()
    limit: float | None = None
    """Seconds after which it is given up; None for work that may take any time."""
    watch: Callable[[], None] | None = None
    """Asked now and then while it runs; what this raises ends it."""

    def __str__(self) -> str:
        import shlex  # few commands are ever shown

        return shlex.join(self.argv)


class Done(msgspec.Struct, frozen=True):
    """How a program ended: its exit status, and what it printed."""

    code: int
    stdout: bytes
    stderr: bytes

    @property
    def output(self) -> str:
        """Both streams as text, for showing to a person."""
        return (self.stdout + self.stderr).decode(errors="replace")


class Runner(Protocol):
    """Runs a command somewhere: on the host, or in a sandbox."""

    def __call__(self, command: Command, /) -> Done:
        """Run to the end; a program that cannot be started at all is a HostError."""


class Trace(Protocol):
    """Is told of every command before it runs; `-v` prints them."""

    def __call__(self, command: Command, /) -> None:
        """Take note."""

    def said(self, text: str, /) -> None:
        """Take note of what packages or the author's programs said that did their work."""


PROMPT = 60.0
"""Seconds for what is done in one on a healthy machine, and in ten on a very busy one."""
SLOW = 3600.0
"""Seconds for what reads or writes a whole disk."""

_traces: list[Trace] = []


def watch_commands(trace: Trace) -> None:
    """Have every command told to `trace`, for the rest of the process; a second one replaces it."""
    _traces[:] = [trace]


@contextlib.contextmanager
def watching(trace: Trace) -> Iterator[None]:
    """Have every command told to `trace` as well, until the block ends."""
    _traces.append(trace)
    try:
        yield
    finally:
        _traces.remove(trace)


def announce(command: Command) -> None:
    """Tell those who watch that a command is about to run."""
    for trace in _traces:
        trace(command)


_LOOK = 0.5
"""Seconds between two looks at what is watched beside a command."""


def tell_output(text: str) -> None:
    """Tell those who watch what packages or the author's programs said."""
    for trace in _traces:
        trace.said(text)


_PIPE = 1 << 20
"""Bytes that a pipe to a program holds, so that it is woken less often."""


def on_host(command: Command) -> Done:
    """Run a command on this machine with a clean environment; wait for it; kill it on Ctrl-C.

    HostError when its time is over.
    """
    import subprocess  # a container can be started without

    announce(command)
    pipe = subprocess.PIPE
    alone = command.limit is not None  # all that it has started can be killed then
    process = start(command, stdin=pipe, stdout=pipe, stderr=pipe, alone=alone)
    with process:
        try:
            stdout, stderr = _communicated(process, command)
        except subprocess.TimeoutExpired:
            _kill(process, alone=alone)
            raise hung(command) from None
        except BaseException:
            _kill(process, alone=alone)
            raise
    return Done(process.returncode, stdout, stderr)


def _kill(process: "subprocess.Popen[bytes]", *, alone: bool) -> None:
    if alone:
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()


def _communicated(process: "subprocess.Popen[bytes]", command: Command) -> tuple[bytes, bytes]:
    import subprocess

    try:
        return process.communicate(command.stdin, timeout=UNDISTURBED)
    except subprocess.TimeoutExpired:
        with disturbed():
            left = FOREVER if command.limit is None else max(command.limit - UNDISTURBED, 0)
            return _watched(process, command, time.monotonic() + left)


def _watched(
    process: "subprocess.Popen[bytes]", command: Command, deadline: float
) -> tuple[bytes, bytes]:
    import subprocess

    while True:
        left = max(deadline - time.monotonic(), 0)
        try:
            return process.communicate(timeout=left if command.watch is None else min(left, _LOOK))
        except subprocess.TimeoutExpired:
            if command.watch is None or left <= _LOOK:
                raise
            command.watch()


def ends(child: int, limit: float | None) -> bool:
    """Wait for a child that is reaped later; False when it has not ended in time."""
    with hold(child) as process:
        return process.wait(FOREVER if limit is None else limit)


def aside(work: Callable[[], None], *, holding: int) -> int:
    """Have something done by a process of its own, and do not wait for it; give its pid.

    Of open files it has only `holding`, such as a lock that it lets go of when it ends. What it
    raises is lost.
    """
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(BaseException):
            os.setsid()
            # Twice, so that the first one can be waited for and nobody has to wait for this one.
            if os.fork() == 0:
                os.write(writing, b"%d" % os.getpid())
                os.chdir("/")  # no folder is kept from being unmounted
                null = os.open(os.devnull, os.O_RDWR)
                for fd in range(3):
                    os.dup2(null, fd)
                os.closerange(3, holding)
                os.closerange(holding + 1, _MOST_FILES)
                work()
        os._exit(0)
    os.close(writing)
    with open(reading, "rb") as file:  # noqa: PTH123  # opened by descriptor
        made = int(file.read() or 0)
    os.waitpid(pid, 0)
    return made


_MOST_FILES = 1 << 16


def start(
    command: Command,
    *,
    stdin: int,
    stdout: int | IO[bytes],
    stderr: int | IO[bytes],
    alone: bool = False,
) -> "subprocess.Popen[bytes]":
    """Start a command on this machine; `alone` it does not hear the terminal's Ctrl-C."""
    import subprocess

    try:
        return subprocess.Popen(
            command.argv,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env={**CLEAN_ENVIRONMENT, **command.env},
            cwd=command.cwd,
            pass_fds=command.pass_fds,
            process_group=0 if alone else None,
        )
    except FileNotFoundError as error:
        raise missing_program(command.argv[0]) from error
    except PermissionError as error:
        raise HostError(f"the program `{command.argv[0]}` may not be run") from error


def start_apart(command: Command) -> int:
    """Start a command that goes on when this process ends, and hears nothing of its terminal.

    Gives its pid; while this process lives, `os.waitpid` tells when it has ended.
    """
    import signal

    announce(command)
    program = find_program(command.argv[0])
    if program is None:
        raise missing_program(command.argv[0])
    null = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in range(3)]
    environment = {**CLEAN_ENVIRONMENT, **command.env}
    return os.posix_spawn(
        program, command.argv, environment, file_actions=null, setsid=True, setsigmask=[],
        setsigdef=[signal.SIGPIPE, signal.SIGINT, signal.SIGTERM, signal.SIGHUP],
    )  # fmt: skip


def feed(command: Command, pieces: Iterable[bytes]) -> Done:
    """Run a command on this machine that reads `pieces` as they come, however many they are.

    Nothing waits for anything else: what the program prints goes to memory, and once it does not
    read on, no more pieces are taken.
    """
    import fcntl
    import subprocess

    announce(command)
    with memory_file() as stdout, memory_file() as stderr:
        process = start(command, stdin=subprocess.PIPE, stdout=stdout, stderr=stderr)
        with process:
            try:
                assert process.stdin is not None
                with contextlib.suppress(BrokenPipeError), process.stdin as pipe:
                    with contextlib.suppress(OSError):  # it is only faster
                        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE)
                    for piece in pieces:
                        pipe.write(piece)
                code = process.wait()
            except BaseException:
                process.kill()
                raise
        return Done(code, all_of(stdout), all_of(stderr))


def memory_file() -> IO[bytes]:
    """Give a file for a program's output, so that it never waits for a reader."""
    return os.fdopen(os.memfd_create("output"), "w+b")


def all_of(file: IO[bytes]) -> bytes:
    """Give what a program wrote into a file of its own."""
    file.seek(0)
    return file.read()


def check(
    run: Runner, *argv: str | Path, stdin: bytes = b"", env: Mapping[str, str] | None = None
) -> bytes:
    """Run a command that must succeed and give what it printed to stdout.

    Raises StageError with the pasteable command and its output.
    """
    command = Command(tuple(map(str, argv)), stdin=stdin, env=env or {})
    done = run(command)
    if done.code != 0:
        raise failed(command, done)
    return done.stdout


def failed(command: Command, done: Done, problem: str | None = None) -> StageError:
    """Make the error for a command that ended badly."""
    how = f"signal {-done.code}" if done.code < 0 else f"status {done.code}"
    return StageError(
        problem or f"`{command.argv[0]}` ended with {how}",
        hint=NO_SPACE if is_full(done.output) else None,
        command=str(command),
        output=done.output,
    )


def is_full(output: str) -> bool:
    """Tell whether a program says that a disk is full; GNU tar counts bytes instead."""
    import re  # few programs fail

    return "No space left on device" in output or bool(
        re.search(r"Wrote only \d+ of \d+ bytes", output)
    )


class HungError(HostError):
    """A command has not ended in its time."""


def hung(command: Command) -> HungError:
    """Make the error for a command whose time is over."""
    program = Path(command.argv[0]).name
    return HungError(
        f"`{program}` has not ended in {command.limit:g} seconds, and is given up",
        hint=f"see whether `{program}` works on this host at all: `{command}`",
    )


NO_SPACE = "no space left on the disk: free some, or `oven cache prune`, then run the command again"
"""The hint for a program that a full disk made fail."""

PACKAGE_OF: Mapping[str, str] = {
    "apt-get": "apt",
    "apt-cache": "apt",
    "bwrap": "bubblewrap",
    "conmon": "conmon",
    "crun": "crun",
    "debootstrap": "debootstrap",
    "dnsmasq": "dnsmasq-base",
    "dnf": "dnf",
    "dpkg-deb": "dpkg",
    "gpg": "gnupg",
    "gpgv": "gpgv",
    "ip": "iproute2",
    "mkfs.btrfs": "btrfs-progs",
    "mkfs.ext4": "e2fsprogs",
    "newuidmap": "uidmap",
    "nft": "nftables",
    "nsenter": "util-linux",
    "pasta": "passt",
    "prlimit": "util-linux",
    "restic": "restic",
    "rpm": "rpm",
    "rpmdb": "rpm",
    "rpmkeys": "rpm",
    "runc": "runc",
    "tar": "tar",
    "tc": "iproute2",
    "unshare": "util-linux",
}
"""Which Debian package holds a program that Oven calls."""


def missing_program(name: str) -> HostError:
    """Make the error for a program that is not on this machine."""
    package = PACKAGE_OF.get(Path(name).name)
    hint = f"apt-get install {package}" if package else "install it; `oven doctor` lists all needs"
    return HostError(f"the program `{name}` is not installed", hint=hint)


def find_program(name: str) -> Path | None:
    """Look a program up on the clean PATH; None when it is missing."""
    for folder in CLEAN_ENVIRONMENT["PATH"].split(":"):
        path = Path(folder, name)
        if os.access(path, os.X_OK):
            return path
    return None


def program_version(run: Runner, argv: Sequence[str]) -> str:
    """Give the first line that a program says about its version; it is part of stage keys."""
    lines = run(Command(tuple(argv))).stdout.decode(errors="replace").splitlines()
    return lines[0] if lines else ""
