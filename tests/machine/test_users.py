"""An ordinary user who has logged in: containers, and limits that hold for all that is in them."""

from collections.abc import Iterator

import pytest

from tests.machine.conftest import TARBALL, shown
from tests.support.hosts.machine import Done, Machine

USER = "ann"
MIB = 1 << 20
EAT = "head -c 96M /dev/zero | tail -c 64M >/dev/null"
FORK = "for i in $(seq 60); do sleep 20 & done; wait"


@pytest.fixture(scope="module")
def home(machine: Machine) -> Iterator[None]:
    """A user's own template, and a systemd of the user's that stays between two logins."""
    machine.run(f"loginctl enable-linger {USER}")
    machine.run(f"oven template import {TARBALL}", user=USER)
    yield
    machine.run(f"loginctl disable-linger {USER}")


@pytest.fixture
def own(machine: Machine, home: None) -> Iterator[str]:
    """A container of the user's that boots systemd."""
    line = "oven run --name own --network none --memory 48M --pids 60 debian-bookworm"
    machine.run(line, user=USER)
    yield "own"
    machine.run("oven destroy --force own", user=USER)


@pytest.mark.parametrize("options", ["", "--network none"])
def test_a_command_passes_its_status_on(machine: Machine, home: None, options: str) -> None:
    machine.run(f"oven run {options} debian-bookworm -- sh -c 'exit 3'", user=USER, code=3)


def test_limits_hold_for_what_is_started_inside(machine: Machine, own: str) -> None:
    def inside(line: str) -> Done:
        return machine.run(f"oven exec own -- sh -c '{line}'", user=USER, code=None)

    running = machine.run("oven exec own -- systemctl is-system-running", user=USER, code=None)
    assert (running.out, running.err) == ("running\n", "")
    assert inside("cat /proc/self/cgroup").out == "0::/.oven\n"
    used = shown(machine, "own", user=USER)["use"]
    assert isinstance(used, dict)
    assert used["memory"]["limit"] == 48 * MIB
    assert inside(EAT).status != 0
    assert inside(FORK).status != 0
    machine.run("oven set own --memory none --pids none", user=USER)
    assert inside(EAT).status == 0
    machine.run("oven set own --memory 48M", user=USER)
    assert inside(EAT).status != 0


def test_single_commands_are_limited(machine: Machine, home: None) -> None:
    line = f"oven run --network none --memory 48M debian-bookworm -- sh -c '{EAT}'"
    assert machine.run(line, user=USER, code=None).status not in (0, 125)
