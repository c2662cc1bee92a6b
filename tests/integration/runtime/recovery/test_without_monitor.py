"""Containers whose monitor was killed: what runs goes on, and is worked in as before."""

import os
import signal
from pathlib import Path

import pytest

from builder.host.pids import hold
from builder.model.progress import Silent
from builder.runtime.lifecycle import control, create
from builder.runtime.record import state
from builder.runtime.record.container import Limits
from tests.support.containers import templates
from tests.support.containers.rig import Rig
from tests.support.hosts.terminal import Terminal
from tests.support.needs import needs
from tests.support.oven import Oven, text

pytestmark = needs("root", "program:runc", "program:conmon")

ON_DISK = pytest.param(Limits(disk=512 << 20), marks=needs("program:mkfs.btrfs"), id="own-disk")


@pytest.fixture(params=[pytest.param(Limits(), id="plain"), ON_DISK])
def bereft(rig: Rig, request: pytest.FixtureRequest) -> Rig:
    templates.describe(rig)
    create.create(rig.places, rig.container(limits=request.param))
    control.start(rig.places, "test", Silent())
    current = state.read(rig.places, "test")
    assert current
    with hold(current.monitor, current.monitor_started) as monitor:
        os.kill(current.monitor, signal.SIGKILL)
        assert monitor.wait(60)
    return rig


def test_a_container_without_its_monitor_is_worked_in(
    bereft: Rig, oven: Oven, tmp_path: Path
) -> None:
    (tmp_path / "note").write_text("kept\n")
    oven("cp", tmp_path / "note", "test:/etc/note")
    assert oven("exec", "test", "--", "cat", "/etc/note").stdout == b"kept\n"
    assert "running" in text(oven("show", "test").stdout)
    oven("list")
    terminal = Terminal(oven.line("enter", "test"), cwd=oven.cwd, env=oven.environment)
    terminal.until(b"# ")
    terminal.type(b"exit 4\n")
    assert terminal.wait() == 4
    terminal.close()
    oven("freeze", "test")
    oven("thaw", "test")
    oven("snapshot", "create", "test", "one")
    oven("stop", "test")
    oven("start", "test")
    assert oven("exec", "test", "--", "cat", "/etc/note").stdout == b"kept\n"


def test_its_end_is_seen(bereft: Rig, oven: Oven) -> None:
    current = state.read(bereft.places, "test")
    assert current
    with hold(current.pid, current.pid_started) as first:
        os.kill(current.pid, signal.SIGKILL)
        assert first.wait(60)
    assert "stopped" in text(oven("show", "test").stdout)
    assert "not running" in oven.said("exec", "test", "--", "true", code=125)
    oven("start", "test")
