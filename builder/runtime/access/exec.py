"""Running commands in a container that runs."""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence

import msgspec

from builder.host.places import Places
from builder.host.process import launch, terminal
from builder.host.process.pumps import Pumps
from builder.runtime.access.calls import Call, Target, made, running
from builder.runtime.bundle import lookup, runnable
from builder.runtime.bundle.process import CommandOrder

_OUTPUT_LIMIT = 1 << 20
_LOGIN = ("/usr/bin/su", "/etc/pam.d/su-l")
"""What opens a session for a user, and how PAM is told to."""


class BootReport(msgspec.Struct, frozen=True):
    """What systemd says of a boot."""

    state: str
    """`running` when all went well, else `degraded` and the like."""
    failed: tuple[str, ...]
    """The units that failed."""


def exec_command(places: Places, name: str, call: CommandOrder) -> int:
    """Run a command with our stdin, stdout and stderr; give its exit status.

    When this process is killed, the command and all of its session end.
    """
    target = running(places, name)
    if not call.tty:
        return _with_pipes(target, call)
    before = terminal.settings()
    with terminal.given_back(before), made(target, call, before) as ready:
        pid = ready.launch((0, 1, 2))
        return launch.attend(pid, lambda: None, _forward_to(pid))


def _with_pipes(target: Target, call: CommandOrder) -> int:
    """Run a command to its end, whatever it leaves running there."""
    with made(target, call) as ready, Pumps(ready.owner) as pumps:
        told = _Told(ready)
        code = launch.attend(ready.launch(pumps.streams), pumps.start, told.pass_on, told.heir)
        pumps.finish()
    return code


def enter(places: Places, name: str, user: str = "root", *, login: bool = True) -> int:
    """Open the user's login shell on our terminal; give its exit status.

    With `login` it has a session as any other: PAM opens it, where the container has that.
    """
    target, tty = running(places, name), os.isatty(0) and os.isatty(1)
    with lookup.root_of(name, target.current.pid) as tree:
        found = lookup.find_user(tree, user, target.ids)
        home = found.home if lookup.is_folder(tree, found.home) else "/"
        opens = found.name == user and all(runnable.has_file(tree, one) for one in _LOGIN)
    if login and opens:
        # As root, who is not asked for a password (pam_rootok(8)).
        call = CommandOrder(argv=(_LOGIN[0], "--login", user), tty=tty)
        return exec_command(places, name, call)
    env = [f"HOME={found.home}", f"SHELL={found.shell}"]
    if found.name:
        env += [f"USER={found.name}", f"LOGNAME={found.name}"]
    call = CommandOrder(
        argv=(found.shell, "-l"), user=user, cwd=lookup.check_folder(home), env=tuple(env), tty=tty
    )  # fmt: skip
    return exec_command(places, name, call)


def capture(
    places: Places, name: str, argv: Sequence[str], *, timeout: float = 60
) -> tuple[int, str]:
    """Run a command as root without stdin; give its exit status, and all that it printed."""
    with _silent(places, name, argv) as (reading, runtime, call):
        code, said = launch.wait(runtime, timeout), b""
        if code == 0:
            code, said = launch.capture(call.command(), reading, _OUTPUT_LIMIT, timeout)
    return code, said.decode(errors="replace")


def output(places: Places, name: str, argv: Sequence[str]) -> Iterator[bytes]:
    """Run a command as root without stdin, and give its lines as they come.

    It ends when nobody wants more of them.
    """
    with _silent(places, name, argv) as (reading, runtime, call):
        if launch.wait(runtime) == 0:
            command = call.command()
            with open(reading, "rb", closefd=False) as file:
                # A hostile program may never end its line.
                yield from iter(lambda: file.readline(_OUTPUT_LIMIT), b"")
            launch.wait(command)


def boot_report(places: Places, name: str, *, timeout: float = 120) -> BootReport:
    """Ask systemd, once it has nothing left to start, how the boot went."""
    wait = ("systemctl", "is-system-running", "--wait")
    _, output = capture(places, name, wait, timeout=timeout)
    _, units = capture(places, name, ("systemctl", "--failed", "--no-legend", "--plain"))
    failed = tuple(line.split()[0] for line in units.splitlines() if line.strip())
    return BootReport(state=output.strip(), failed=failed)


@contextlib.contextmanager
def _silent(places: Places, name: str, argv: Sequence[str]) -> Iterator[tuple[int, int, Call]]:
    """Launch a command as root without stdin; give where its output is read, and the runtime."""
    target = running(places, name)
    reading, writing = os.pipe()
    null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with made(target, CommandOrder(tuple(argv))) as call:
            try:
                os.fchown(writing, *call.owner)
                runtime = call.launch((null, writing, writing))
            finally:
                os.close(writing)
                os.close(null)
            yield reading, runtime, call
    finally:
        os.close(reading)


class _Told:
    """What others tell us by signals while a command runs, or is about to."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._command = 0
        self._missed: list[int] = []

    def pass_on(self, number: int, _: launch.Sender) -> None:
        """Tell the command, which is not in the session of our terminal either."""
        if self._command:
            os.kill(self._command, number)
        elif number in self._missed:
            self._call.give_up()  # it was told twice
        else:
            self._missed.append(number)

    def heir(self) -> int:
        """Turn from the runtime to the command, which hears what was told meanwhile."""
        self._command = self._call.command()
        for number in self._missed:
            os.kill(self._command, number)
        return self._command


def _forward_to(pid: int) -> Callable[[int, launch.Sender], None]:
    def pass_on(number: int, sender: launch.Sender) -> None:
        if sender is launch.Sender.PROGRAM:
            os.kill(pid, number)

    return pass_on
