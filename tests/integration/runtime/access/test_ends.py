"""The end of `oven exec`: that of its command, whatever that leaves running, and nobody else's."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.host.pids import hold
from builder.model.progress import Silent
from builder.runtime.access.exec import capture
from builder.runtime.lifecycle import control, create
from tests.support.containers.rig import Rig, rig_in, tiny_tree
from tests.support.needs import needs
from tests.support.oven import Oven, wait_for_line

pytestmark = needs("root", "program:runc", "program:conmon")

PATIENCE = 60
LEAVES = "sleep 1000 & echo $!; echo said; echo told >&2; exit 3"


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """One container that runs, for all tests here."""
    folder = tmp_path_factory.mktemp("ends")
    with rig_in(folder / "home", tiny_tree(folder / "rootfs")) as rig:
        create.create(rig.places, rig.container())
        control.start(rig.places, "test", Silent())
        yield rig
    assert rig.leftovers() == []


def finish(oven: Oven, script: str) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        oven.line("exec", "test", "--", "sh", "-c", script),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=PATIENCE,
        cwd=oven.cwd,
        env=oven.environment,
    )


@pytest.mark.parametrize("kept", ["", ">/dev/null", "2>/dev/null", ">/dev/null 2>&1"])
def test_what_a_command_leaves_running_is_not_waited_for(oven: Oven, kept: str) -> None:
    done = finish(oven, f"sleep 1000 {kept} & echo said; echo told >&2; exit 3")
    assert (done.returncode, done.stdout, done.stderr) == (3, b"said\n", b"told\n")


def test_who_goes_on_writing_is_not_waited_for(oven: Oven) -> None:
    done = finish(oven, "while :; do echo again; done & sleep 0.1; exit 4")
    assert done.returncode == 4
    assert set(done.stdout.split()) <= {b"again"}


def test_all_is_in_the_file_in_its_order(oven: Oven, tmp_path: Path) -> None:
    script = "for n in 1 2 3 4; do echo out$n; echo err$n >&2; done; sleep 1000 & exit 5"
    with (tmp_path / "log").open("wb") as file:
        code = subprocess.run(
            oven.line("exec", "test", "--", "sh", "-c", script),
            stdin=subprocess.DEVNULL, stdout=file, stderr=file, timeout=PATIENCE, cwd=oven.cwd,
            env=oven.environment,
        ).returncode  # fmt: skip
    assert code == 5
    lines = [f"{word}{n}" for n in range(1, 5) for word in ("out", "err")]
    assert (tmp_path / "log").read_text().split() == lines


def test_a_command_has_no_stream_of_ours(oven: Oven, tmp_path: Path) -> None:
    """It could empty a file of the host, or type into a terminal."""
    script = "readlink /proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2"
    with (tmp_path / "log").open("w+b") as file:
        subprocess.run(
            oven.line("exec", "test", "--", "sh", "-c", script),
            stdin=file, stdout=file, stderr=file, check=True, cwd=oven.cwd, env=oven.environment,
        )  # fmt: skip
    said = (tmp_path / "log").read_text().split()
    assert len(said) == 3
    assert all(one.startswith("pipe:") for one in said)


@pytest.mark.parametrize("user", ["root", "ann"])
def test_streams_can_be_opened_anew(oven: Oven, user: str) -> None:
    script = "echo out >/dev/stdout; echo err >/dev/stderr; cat </dev/stdin"
    line = ("exec", "-u", user, "test", "--", "sh", "-c", f"cd /proc/self/fd; {script}")
    for name, fd in (("stdout", 1), ("stderr", 2), ("stdin", 0)):
        line = (*line[:-1], line[-1].replace(f"/dev/{name}", f"/proc/self/fd/{fd}"))
    done = oven(*line, stdin=b"given\n")
    assert (done.stdout, done.stderr) == (b"out\ngiven\n", b"err\n")


@pytest.mark.parametrize("name", ["TERM", "INT", "HUP", "QUIT", "USR1", "USR2"])
def test_signals_reach_a_command_that_has_left_others(oven: Oven, name: str) -> None:
    script = (
        f"sleep 1000 & trap 'echo caught; exit 9' {name}; echo up; while :; do sleep 0.05; done"
    )
    process = oven.start("exec", "test", "--", "sh", "-c", script)
    wait_for_line(process, "up")
    process.send_signal(signal.Signals[f"SIG{name}"])
    output, _ = process.communicate(timeout=PATIENCE)
    assert (process.returncode, output) == (9, b"caught\n")


def test_a_signal_that_is_not_handled_ends_the_command(oven: Oven) -> None:
    process = oven.start("exec", "test", "--", "sh", "-c", "echo up; exec sleep 1000")
    wait_for_line(process, "up")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 128 + signal.SIGTERM


def test_what_is_killed_with_all_that_it_called_ends_the_command(oven: Oven, rig: Rig) -> None:
    """As when a service that has called it is stopped, or `timeout -s KILL` ends it.

    At once, many times: the runtime has told nobody of the command then, now and then.
    """
    for _ in range(30):
        process = oven.start("exec", "test", "--", "sh", "-c", "echo $$; exec sleep 1000")
        [inner] = wait_for_line(process, "\n")
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=PATIENCE)
        left = outside(rig, int(inner))
        if left is not None:
            with hold(left) as command:
                assert command.wait(PATIENCE), "it lives on"


def outside(rig: Rig, inner: int) -> int | None:
    """Find a process of the container by its pid there, if it lives."""
    from builder.host.pids import depth_and_inner_pid
    from builder.runtime.record import state

    current = state.read(rig.places, "test")
    assert current
    here = Path(f"/proc/{current.pid}/ns/pid").readlink()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if (entry / "ns/pid").readlink() != here:
                continue
            if depth_and_inner_pid(int(entry.name))[1] == inner:
                return int(entry.name)
        except OSError:
            continue
    return None


def test_what_oven_asks_is_not_held_up_either(rig: Rig) -> None:
    code, said = capture(rig.places, "test", ("sh", "-c", "sleep 1000 & echo x; exit 6"))
    assert (code, said) == (6, "x\n")
