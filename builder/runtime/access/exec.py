"""Running commands in a container that runs."""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence

import msgspec

from builder.host.kernel import cgroups
from builder.host.places import Places
from builder.host.process import launch, terminal
from builder.host.process.guard import Guard, Settings
from builder.model.errors import HostError, OvenError
from builder.runtime.bundle import lookup, oci_runtime
from builder.runtime.bundle.process import (
    PATH,
    Process,
    enter_again,
    plain_umask,
    process_part,
    rlimits,
)
from builder.runtime.record import state
from builder.runtime.record.container import check_name
from builder.runtime.record.layout import volatile_of
from builder.runtime.record.seen import is_frozen
from builder.runtime.record.state import State
from builder.runtime.recovery import orphans, repair

_OUTPUT_LIMIT = 1 << 20


class ExecOptions(msgspec.Struct, frozen=True):
    """A command for a running container, and how it is run."""

    argv: tuple[str, ...]
    user: str = "root"
    """`NAME`, `UID` or `UID:GID`."""
    cwd: str = "/"
    env: tuple[str, ...] = ()
    """`NAME=value` words."""
    tty: bool = False
    """Whether it gets a terminal of its own, joined to ours."""


class BootReport(msgspec.Struct, frozen=True):
    """What systemd says of a boot."""

    state: str
    """`running` when all went well, else `degraded` and the like."""
    failed: tuple[str, ...]
    """The units that failed."""


def exec_command(places: Places, name: str, call: ExecOptions) -> int:
    """Run a command with our stdin, stdout and stderr; give its exit status.

    When this process is killed, the command and all of its session end.
    """
    current = _running(places, name)
    before = terminal.settings() if call.tty else None
    with terminal.given_back(before), _program(places, name, current, call, before) as made:
        program, guard = made
        pid = launch.launch(program, _way_in(places, name, current), guard.over)
        return launch.attend(pid, lambda: None, _forward_to(pid))


def enter(places: Places, name: str, user: str = "root") -> int:
    """Open the user's login shell on our terminal; give its exit status."""
    current = _running(places, name)
    with lookup.root_of(name, current.pid) as tree:
        found = lookup.find_user(tree, user)
        home = found.home if lookup.is_folder(tree, found.home) else "/"
    env = [f"HOME={found.home}", f"SHELL={found.shell}"]
    if found.name:
        env += [f"USER={found.name}", f"LOGNAME={found.name}"]
    call = ExecOptions(
        argv=(found.shell, "-l"), user=user, cwd=lookup.check_folder(home), env=tuple(env),
        tty=os.isatty(0) and os.isatty(1),
    )  # fmt: skip
    return exec_command(places, name, call)


def capture(
    places: Places, name: str, argv: Sequence[str], *, timeout: float = 60
) -> tuple[int, str]:
    """Run a command as root without stdin; give its exit status, and all that it printed."""
    current = _running(places, name)
    reading, writing = os.pipe()
    null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with _program(places, name, current, ExecOptions(tuple(argv))) as (program, guard):
            silent = msgspec.structs.replace(program, streams=(null, writing, writing))
            try:
                pid = launch.launch(silent, _way_in(places, name, current), guard.over)
            finally:
                os.close(writing)
                os.close(null)
            code, output = launch.capture(pid, reading, _OUTPUT_LIMIT, timeout)
    finally:
        os.close(reading)
    return code, output.decode(errors="replace")


def output(places: Places, name: str, argv: Sequence[str]) -> Iterator[bytes]:
    """Run a command as root without stdin, and give its lines as they come.

    It ends when nobody wants more of them.
    """
    current = _running(places, name)
    reading, writing = os.pipe()
    null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    with (
        open(reading, "rb") as file,  # noqa: PTH123  # opened by descriptor
        _program(places, name, current, ExecOptions(tuple(argv))) as (program, guard),
    ):
        silent = msgspec.structs.replace(program, streams=(null, writing, writing))
        try:
            pid = launch.launch(silent, _way_in(places, name, current), guard.over)
        finally:
            os.close(writing)
            os.close(null)
        # A hostile program may never end its line.
        yield from iter(lambda: file.readline(_OUTPUT_LIMIT), b"")
        launch.wait(pid)


def boot_report(places: Places, name: str, *, timeout: float = 120) -> BootReport:
    """Ask systemd, once it has nothing left to start, how the boot went."""
    wait = ("systemctl", "is-system-running", "--wait")
    _, output = capture(places, name, wait, timeout=timeout)
    _, units = capture(places, name, ("systemctl", "--failed", "--no-legend", "--plain"))
    failed = tuple(line.split()[0] for line in units.splitlines() if line.strip())
    return BootReport(state=output.strip(), failed=failed)


def _running(places: Places, name: str) -> State:
    repair.resume(places, check_name(name))
    return orphans.look(places, name).need_going()


def _way_in(places: Places, name: str, current: State) -> Callable[[], None]:
    def enter() -> None:
        try:
            enter_again(places, name, current.monitor)
        except (FileNotFoundError, ProcessLookupError):
            raise lookup.has_ended(name) from None

    return enter


def _resolve(name: str, current: State, call: ExecOptions) -> Process:
    with lookup.root_of(name, current.pid) as tree:
        user = lookup.find_user(tree, call.user)
        words = dict(word.partition("=")[::2] for word in call.env)
        lookup.check_program(tree, call.argv[0], words.get("PATH", PATH))
    env = [f"HOME={user.home}", *call.env]
    if call.tty:
        env.insert(0, f"TERM={os.environ.get('TERM', 'linux')}")
    return Process(
        argv=call.argv, env=tuple(env), terminal=call.tty, uid=user.uid, gid=user.gid,
        groups=user.groups, cwd=lookup.check_folder(call.cwd),
    )  # fmt: skip


@contextlib.contextmanager
def _program(
    places: Places, name: str, current: State, call: ExecOptions, before: Settings | None = None
) -> Iterator[tuple[launch.Program, Guard]]:
    """Give the call of the runtime, and its guard; two files last as long as it may use them."""
    process = _resolve(name, current, call)
    unique = f"exec-{os.getpid()}-{os.urandom(4).hex()}"
    file = volatile_of(places, name) / f"{unique}.json"
    log = file.with_suffix(".log")
    plain_umask()
    try:
        file.write_bytes(msgspec.json.encode(process_part(process, rlimits())))
        runtime = oci_runtime.of_container(places, name, current)
        place = ("--process", str(file), *cgroups.place_of_others())
        argv = (*oci_runtime.command(runtime, places, name, log), "exec", *place, name)
        with Guard((file, log), before) as guard:
            yield launch.Program(argv, guarded=True), guard
        complaint = oci_runtime.complaint(log)
        if complaint is not None:
            raise _refused(name, current, complaint)
    finally:
        file.unlink(missing_ok=True)
        log.unlink(missing_ok=True)


def _refused(name: str, current: State, complaint: str) -> OvenError:
    if not state.alive(current):
        return lookup.has_ended(name)
    if "paused" in complaint:
        return is_frozen(name)
    return HostError(f"cannot run a command in container `{name}`: {complaint}")


def _forward_to(pid: int) -> Callable[[int, launch.Sender], None]:
    def pass_on(number: int, sender: launch.Sender) -> None:
        if sender is launch.Sender.PROGRAM:
            os.kill(pid, number)

    return pass_on
