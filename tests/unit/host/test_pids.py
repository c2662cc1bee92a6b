"""Processes that are held: signals reach them alone, and their end is seen."""

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.host import pids

SLEEPS = (sys.executable, "-c", "import time; print(flush=True); time.sleep(60)")


@pytest.fixture
def child() -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen(SLEEPS, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        yield process
        process.kill()


def descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


def test_one_that_lives_is_waited_for_and_ended(child: "subprocess.Popen[bytes]") -> None:
    before = descriptors()
    with pids.hold(child.pid, pids.start_time(child.pid)) as held:
        assert not held.gone
        assert not held.wait(0.05)
        held.send(signal.SIGTERM)
        assert held.wait(20)
        assert held.gone
        child.wait()
        held.send(signal.SIGTERM)  # nobody gets that
    assert descriptors() == before


def test_one_that_started_at_another_time_gets_nothing(child: "subprocess.Popen[bytes]") -> None:
    """As if the pid had been given to somebody else meanwhile."""
    before = descriptors()
    with pids.hold(child.pid, pids.start_time(child.pid) - 1) as held:
        assert held.gone
        assert held.wait(60)
        held.send(signal.SIGKILL)
    assert child.poll() is None
    assert descriptors() == before


@pytest.mark.parametrize("pid", [0, -1])
def test_nobody_is_gone(pid: int) -> None:
    """Both would mean whole groups of processes to kill(2)."""
    with pids.hold(pid) as held:
        assert held.gone
        held.send(signal.SIGKILL)


def test_one_that_waits_to_be_reaped_is_gone(child: "subprocess.Popen[bytes]") -> None:
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    before = descriptors()
    held = pids.hold(child.pid)
    assert held.gone
    assert descriptors() == before, "there is nothing to let go of"


def test_one_that_was_let_go_of_gets_nothing(child: "subprocess.Popen[bytes]") -> None:
    held = pids.hold(child.pid)
    held.close()
    held.close()
    held.send(signal.SIGKILL)
    assert child.poll() is None


def test_all_below_end_with_one() -> None:
    code = "import subprocess; print(subprocess.Popen(['sleep', '60']).pid, flush=True); input()"
    pipe = subprocess.PIPE
    with subprocess.Popen((sys.executable, "-c", code), stdin=pipe, stdout=pipe) as parent:
        assert parent.stdout
        inner = int(parent.stdout.readline())
        with pids.hold(inner) as held:
            pids.end_all(parent.pid)
            assert held.wait(20)
        assert parent.wait() == -signal.SIGKILL


def test_a_chain_of_processes_is_found_to_its_end(tmp_path: Path) -> None:
    """A container may make one that is longer than Python calls itself, and than files are open."""
    script = tmp_path / "deeper"
    script.write_text('if [ "$1" -gt 0 ]; then sh "$0" $(($1 - 1)); :; else echo; read -r _; fi\n')
    pipe = subprocess.PIPE
    with subprocess.Popen(("sh", script, "600"), stdin=pipe, stdout=pipe) as parent:
        assert parent.stdout
        parent.stdout.readline()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (100, hard))
        try:
            assert len(pids.below(parent.pid)) == 600
            pids.send_below(parent.pid, signal.SIGCONT)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            assert parent.stdin
            parent.stdin.write(b"\n")
            parent.stdin.close()


@pytest.mark.parametrize(("said", "answer"), [(b"x", True), (b"", False)])
def test_what_an_ended_child_has_said_is_read(said: bytes, answer: bool) -> None:
    reading, writing = os.pipe()
    try:
        child = os.fork()
        if child == 0:
            os.write(writing, said)
            os._exit(0)
        os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
        assert pids.wait_readable(reading, child, 20) is answer
        os.waitpid(child, 0)
        assert pids.wait_readable(reading, os.getpid(), 0.01) is (True if said else None)
    finally:
        os.close(reading)
        os.close(writing)
