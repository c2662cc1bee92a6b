"""An init around a command: zombies are reaped, and statuses and signals stay the command's."""

import signal
from pathlib import Path

import pytest

from builder.model.value import hex_of
from builder.runtime.bundle import reaper
from tests.support.containers import templates
from tests.support.containers.rig import DIGEST, Rig
from tests.support.needs import needs
from tests.support.oven import Oven, wait_for_line

pytestmark = needs("root", "program:runc", "program:catatonit")

RUN = ("run", "--network", "none", hex_of(DIGEST), "--", "sh", "-c")
ORPHAN = """
(sh -c 'echo $$ >/tmp/pid' &)
(
    until [ -s /tmp/pid ]; do sleep 0.01; done
    read pid </tmp/pid
    n=0
    while [ -e /proc/$pid ] && [ $n -lt 300 ]; do n=$((n + 1)); sleep 0.01; done
    [ -e /proc/$pid ] && echo stays || echo reaped
    kill $$
) &
exec sleep 5
"""
"""A command that never waits for children, one that has lost its parent, and one that looks."""


@pytest.fixture
def oven(rig: Rig, oven: Oven) -> Oven:
    templates.describe(rig)
    return oven


def test_zombies_are_reaped(oven: Oven) -> None:
    assert oven(*RUN, ORPHAN, code=128 + signal.SIGTERM).stdout == b"reaped\n"


@pytest.mark.parametrize("script", ["exit 7", "sleep 1000 & exit 7"])
def test_the_status_is_the_commands(oven: Oven, script: str) -> None:
    oven(*RUN, script, code=7)


def test_a_command_that_kills_itself(oven: Oven) -> None:
    oven(*RUN, "kill -SEGV $$", code=128 + signal.SIGSEGV)


@pytest.mark.parametrize("name", ["TERM", "INT", "HUP", "QUIT", "USR1"])
def test_signals_are_the_commands(oven: Oven, name: str) -> None:
    number = signal.Signals[f"SIG{name}"]
    handled = f"trap 'exit 9' {name}; echo up; while :; do sleep 0.05; done"
    for script, code in ((handled, 9), ("echo up; exec sleep 1000", 128 + number)):
        process = oven.start(*RUN, script)
        wait_for_line(process, "up")
        process.send_signal(number)
        process.communicate(timeout=60)
        assert process.returncode == code


def test_without_one_installed_it_works(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """One that needs libraries of the host counts as none."""
    (tmp_path / "true").write_bytes(Path("/bin/true").read_bytes())
    monkeypatch.setattr(reaper, "find_program", lambda _: tmp_path / "true")
    assert reaper.find() is None
    from builder.runtime.bundle.process import CommandOrder
    from builder.runtime.lifecycle.run import run_command

    assert run_command(rig.places, rig.container(), CommandOrder(("sh", "-c", "exit 7"))) == 7
