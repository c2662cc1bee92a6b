"""Commands in a running container: streams, users, signals, terminals, and no survivors."""

import hashlib
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from builder.host.pids import hold
from builder.model.errors import ConflictError, NotFoundError, OvenError, RecipeError
from builder.model.progress import Silent
from builder.runtime.access.exec import capture, exec_command, output
from builder.runtime.bundle.process import CommandOrder
from builder.runtime.lifecycle import control, create
from builder.runtime.record import state
from tests.support.containers.rig import PREAMBLE, Rig, add_program, rig_in, tiny_tree
from tests.support.hosts.terminal import Terminal
from tests.support.needs import needs
from tests.support.oven import CHECKOUT

pytestmark = needs("root", "program:runc", "program:conmon")


EXEC = """
import sys
from builder.runtime.bundle.process import CommandOrder
from builder.runtime.access.exec import exec_command
sys.exit(exec_command(places, "test", CommandOrder({argv!r}, tty={tty})))
"""


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """One container that runs, for all tests here."""
    folder = tmp_path_factory.mktemp("exec")
    tree = tiny_tree(folder / "rootfs")
    for program in ("mkdir", "setsid", "stty", "yes", "sha256sum"):
        add_program(tree, program)
    with rig_in(folder / "home", tree) as rig:
        create.create(rig.places, rig.container())
        control.start(rig.places, "test", Silent())
        yield rig
    assert rig.leftovers() == []


def code_for(*argv: str, tty: bool = False) -> str:
    return EXEC.format(argv=argv, tty=tty)


def on_terminal(rig: Rig, *argv: str) -> Terminal:
    code = PREAMBLE.format(home=rig.places.data) + code_for(*argv, tty=True)
    return Terminal([sys.executable, "-c", code], cwd=CHECKOUT)


Running = Callable[[str], "subprocess.Popen[bytes]"]


@pytest.fixture
def begin(rig: Rig) -> Iterator[Running]:
    """Give what starts Python that knows `places`; ends what is left of it."""
    begun = []

    def call(code: str) -> "subprocess.Popen[bytes]":
        begun.append(rig.call(code))
        return begun[-1]

    yield call
    for process in begun:
        process.kill()
        with process:
            for pipe in (process.stdin, process.stdout, process.stderr):
                assert pipe
                pipe.close()


@pytest.fixture
def shell(rig: Rig) -> Iterator[Terminal]:
    terminal = on_terminal(rig, "sh", "-i")
    yield terminal
    terminal.close()


def test_many_bytes_pass_both_ways_unchanged(begin: Running) -> None:
    block = os.urandom(1 << 20)
    process = begin(code_for("cat"))
    assert process.stdin
    assert process.stdout
    reader = subprocess.Popen(["sha256sum"], stdin=process.stdout, stdout=subprocess.PIPE)
    process.stdout.close()
    expected = hashlib.sha256()
    for _ in range(100):
        process.stdin.write(block)
        expected.update(block)
    process.stdin.close()
    assert reader.communicate(timeout=60)[0].split()[0].decode() == expected.hexdigest()
    assert process.wait(timeout=60) == 0


def test_the_end_of_input_is_passed_on(begin: Running) -> None:
    assert begin(code_for("cat")).communicate(b"", timeout=60)[0] == b""


def test_a_reader_that_goes_ends_the_command(begin: Running) -> None:
    process = begin(code_for("yes"))
    assert process.stdout
    assert process.stdout.read(2) == b"y\n"
    process.stdout.close()
    assert process.wait(timeout=60) == 128 + signal.SIGPIPE


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ("ann", "uid=1000(ann) gid=1000 groups=1000,50(staff)"),
        ("1000", "uid=1000(ann) gid=1000 groups=1000,50(staff)"),
        ("ann:staff", "uid=1000(ann) gid=50(staff) groups=50(staff)"),
        ("1000:7", "uid=1000(ann) gid=7 groups=7"),
        ("4000", "uid=4000 gid=0(root) groups=0(root)"),
        ("4000:staff", "uid=4000 gid=50(staff) groups=50(staff)"),
    ],
)
def test_users_and_groups(begin: Running, user: str, expected: str) -> None:
    process = begin(
        f"""
        import sys
        from builder.runtime.bundle.process import CommandOrder
        from builder.runtime.access.exec import exec_command
        sys.exit(exec_command(places, "test", CommandOrder(("id",), user="{user}")))
        """
    )
    assert process.communicate(timeout=60)[0].decode() == expected + "\n"


@pytest.mark.parametrize("user", ["nobody", "nobody:staff", "ann:nobody", "70000", "ann:70000"])
def test_users_that_are_not_there(rig: Rig, user: str) -> None:
    with pytest.raises(OvenError, match=r"no user|no group|no id"):
        exec_command(rig.places, "test", CommandOrder(("id",), user=user))


def living(rig: Rig, word: str) -> list[int]:
    """Find the `sleep` processes inside that were given this word."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            root = (entry / "root").stat()
        except OSError:
            continue
        current = state.read(rig.places, "test")
        assert current
        # Not `setsid sleep`, which has no session of its own yet.
        if words[:2] == [b"sleep", word.encode()] and os.path.samestat(
            root, Path(f"/proc/{current.pid}/root").stat()
        ):
            found.append(int(entry.name))
    return found


def begun(rig: Rig, word: str) -> int:
    """Wait for the one `sleep` in the container that was given this word."""
    for _ in range(1000):
        if found := living(rig, word):
            [pid] = found
            return pid
        select.select([], [], [], 0.01)
    pytest.fail(f"`sleep {word}` never began")


def ended(pids: list[int]) -> None:
    """Wait until processes are gone."""
    for pid in pids:
        with hold(pid) as process:
            assert process.wait(30), f"{pid} lives on"


@pytest.mark.parametrize("tty", [False, True])
def test_kill_9_ends_the_command_and_its_children(rig: Rig, begin: Running, tty: bool) -> None:
    script = "setsid sleep 7771 & sleep 7772 & echo up; sleep 7773"
    terminal = on_terminal(rig, "sh", "-c", script) if tty else None
    if terminal:
        terminal.until(b"up")
        process = terminal.process
    else:
        process = begin(code_for("sh", "-c", script))
        assert process.stdout
        assert process.stdout.readline() == b"up\n"
    daemon, *doomed = (begun(rig, word) for word in ("7771", "7772", "7773"))
    if terminal:
        terminal.signal(signal.SIGKILL)
    else:
        process.kill()
    ended(doomed)
    assert living(rig, "7771") == [daemon], "what went to a session of its own stays"
    os.kill(daemon, signal.SIGKILL)
    process.wait()
    if terminal:
        terminal.close()
    volatile = rig.places.runtime / "containers/test"
    for _ in range(1000):
        if not list(volatile.glob("exec-*")):
            break
        select.select([], [], [], 0.01)
    assert list(volatile.glob("exec-*")) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
def test_signals_are_passed_on(begin: Running, number: signal.Signals) -> None:
    name = number.name.removeprefix("SIG")
    script = f"trap 'echo caught; exit 9' {name}; echo up; while :; do sleep 0.05; done"
    process = begin(code_for("sh", "-c", script))
    assert process.stdout
    assert process.stdout.readline() == b"up\n"
    process.send_signal(number)
    assert process.communicate(timeout=60)[0] == b"caught\n"
    assert process.returncode == 9


def test_a_slow_command_of_ours_is_ended(rig: Rig) -> None:
    code, _ = capture(rig.places, "test", ("sleep", "7774"), timeout=0.2)
    assert code == 137
    ended(living(rig, "7774"))


def test_the_size_of_the_window_and_its_changes(rig: Rig) -> None:
    script = "trap 'stty size' WINCH; stty size; echo ready; while :; do sleep 0.05; done"
    terminal = on_terminal(rig, "sh", "-c", script)
    # The runtime may tell of the first size only after the command has begun.
    said = terminal.until(b"ready")
    if b"24 80" not in said:
        terminal.until(b"24 80")
    terminal.resize(44, 122)
    terminal.until(b"44 122")
    terminal.type(b"\x03")
    assert terminal.wait() == 130
    assert terminal.restored()
    terminal.close()


def test_keys_of_job_control_go_inside(shell: Terminal) -> None:
    # The word is only whole once the command runs in the foreground; the echo has it in parts.
    command = b"sh -c 'echo sta''rted; exec sleep 7775'\n"
    shell.until(b"# ")
    shell.type(command)
    shell.until(b"started\r\n")
    shell.type(b"\x1a")
    shell.until(b"# ")
    # The shell would not end before it has seen to the end of its job.
    shell.type(b"jobs; kill -9 %1; fg %1; echo co''de $?\n")
    assert b"Stopped" in shell.until(b"code 137")
    shell.type(command)
    shell.until(b"started\r\n")
    shell.type(b"\x03")
    shell.type(b"echo co''de $?\n")
    shell.until(b"code 130")
    shell.type(b"exit 4\n")
    assert shell.wait() == 4
    assert shell.restored()


def test_the_terminal_is_restored_after_kill_9(shell: Terminal) -> None:
    shell.until(b"# ")
    assert not shell.restored()
    shell.signal(signal.SIGKILL)
    shell.process.wait()
    for _ in range(1000):
        if shell.restored():
            return
        select.select([], [], [], 0.01)
    pytest.fail("the terminal is still raw")


def test_a_frozen_container_takes_no_command(rig: Rig) -> None:
    control.freeze(rig.places, "test")
    try:
        with pytest.raises(ConflictError, match="is frozen") as caught:
            exec_command(rig.places, "test", CommandOrder(("true",)))
        assert "oven thaw test" in str(caught.value.hint)
    finally:
        control.thaw(rig.places, "test")
    assert exec_command(rig.places, "test", CommandOrder(("true",))) == 0


def test_a_terminal_must_be_there(begin: Running) -> None:
    process = begin(code_for("true", tty=True))
    _, err = process.communicate(timeout=60)
    assert b"there is no terminal" in err


def test_what_is_not_there(rig: Rig) -> None:
    with pytest.raises(NotFoundError, match="no container `absent`"):
        exec_command(rig.places, "absent", CommandOrder(("true",)))


def test_a_line_without_end_is_given_in_parts(rig: Rig) -> None:
    parts = list(output(rig.places, "test", ("head", "-c", "3000000", "/dev/zero")))
    assert sum(map(len, parts)) == 3_000_000
    assert max(map(len, parts)) <= 1 << 20


@pytest.mark.parametrize("cwd", ["/proc/self", "//proc/self", "/./proc", "/tmp/../proc"])
def test_no_working_folder_in_the_process_list(rig: Rig, cwd: str) -> None:
    with pytest.raises(RecipeError, match="cannot be the working folder"):
        exec_command(rig.places, "test", CommandOrder(("true",), cwd=cwd))


def test_a_working_folder_may_be_called_like_it(rig: Rig) -> None:
    assert capture(rig.places, "test", ("mkdir", "-p", "/processes"))[0] == 0
    assert exec_command(rig.places, "test", CommandOrder(("true",), cwd="/processes")) == 0
