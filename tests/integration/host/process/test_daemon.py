"""Tests of daemons: they outlive who started them, and nothing of them outlives their end."""

import os
import signal
import time
from pathlib import Path

import pytest

from builder.host import pids
from builder.host.kernel import cgroups
from builder.host.process import daemon
from tests.support.needs import needs

pytestmark = needs("root")

NAME = f"_daemon-test-{os.getpid()}"
BECOMES_DAEMON = ("/bin/sh", "-c", "/bin/sleep 1000 &")


def _starting() -> int:
    """Start a daemon in a process of its own, and give its pid; it waits for its end then."""
    pid = os.fork()
    if pid == 0:
        daemon.start(BECOMES_DAEMON, NAME).wait()
        signal.pause()
    return pid


def _children(parent: int) -> list[pids.HeldProcess]:
    """Hold the children of a process that are still there."""
    found = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [pids.hold(int(pid)) for pid in found]


def _left() -> list[str]:
    # Not `**`: others' cgroups come and go while it is walked.
    found = [Path("/sys/fs/cgroup").glob(f"{folder}oven/{NAME}") for folder in ("", "*/")]
    return [str(path) for paths in found for path in paths]


def test_a_daemon_outlives_who_started_it_until_it_is_stopped() -> None:
    starter = os.fork()
    if starter == 0:
        daemon.start(BECOMES_DAEMON, NAME).wait()
        os._exit(0)
    assert os.waitpid(starter, 0)[1] == 0
    assert len(cgroups.members(NAME)) == 1
    daemon.stop(NAME).wait()
    assert cgroups.members(NAME) == []
    assert _left() == []


@pytest.mark.parametrize("delay", [0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.03])
def test_a_daemon_whose_starter_is_killed_can_be_stopped_at_once(delay: float) -> None:
    for _ in range(5):
        starter = _starting()
        time.sleep(delay)
        dying = _children(starter)
        os.kill(starter, signal.SIGKILL)
        os.waitpid(starter, 0)
        daemon.stop(NAME).wait()
        for process in dying:
            with process:
                assert process.wait(10)
        assert cgroups.members(NAME) == []
        # One that died while it made itself a cgroup may leave an empty one to the next command.
        daemon.stop(NAME).wait()
        assert _left() == []
