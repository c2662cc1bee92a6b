"""The host shuts down and comes up again: containers end cleanly, and those that shall start do."""

import json
from collections.abc import Iterator

import pytest

from tests.support.hosts.machine import Machine

LAST_WORDS = "systemd-run --unit last-words -p ExecStop='touch /srv/ended-in-its-own-way' sleep inf"
"""What only an init that shuts down by itself does."""


@pytest.fixture
def containers(machine: Machine) -> Iterator[None]:
    """`plain` and `auto` that run, and `later`, which is to start with the host, that does not."""
    machine.run("oven run --name plain --network none debian-bookworm")
    machine.run("oven run --name auto --autostart debian-bookworm")
    machine.run("oven create later debian-bookworm --autostart --start-order 5 --network none")
    for name in ("plain", "auto"):
        machine.run(f'oven exec {name} -- sh -c "{LAST_WORDS}"')
    yield
    machine.run("oven destroy --force plain auto later")
    for unit in ("oven.service", "oven-snapshot.timer", "oven-snapshot.service"):
        machine.run(f"test ! -e /etc/systemd/system/{unit}")


def snapshots(machine: Machine) -> set[str]:
    words = machine.run("oven snapshot list plain").out.split()
    return {word for word in words if word.startswith("auto-")}


def test_containers_go_down_and_come_up_with_the_host(machine: Machine, containers: None) -> None:
    machine.run("oven snapshot schedule plain --every 1h --keep 2")
    first = machine.get("/proc/sys/kernel/random/boot_id")
    machine.reboot()
    assert machine.get("/proc/sys/kernel/random/boot_id") != first
    assert machine.run("systemctl is-system-running --wait").out == "running\n"
    rows = json.loads(machine.run("oven list --json").out)
    states = {row["name"]: row["status"] for row in rows}
    assert [states[name] for name in ("plain", "auto", "later")] == ["stopped"] + 2 * ["running"]
    machine.run("oven exec auto -- test -e /srv/ended-in-its-own-way")
    machine.run("oven cp plain:/srv/ended-in-its-own-way /tmp/plain")
    # Snapshots are made as time goes by, without anybody having said so since the boot.
    assert machine.run("systemctl show -P ActiveState oven-snapshot.timer").out == "active\n"
    before = snapshots(machine)
    machine.run("date -s '+2 hours' && systemctl start oven-snapshot.service")
    assert snapshots(machine) - before
