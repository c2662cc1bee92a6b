"""Containers with a disk of their own: kept, copied, compared and upgraded like all others."""

import signal
from pathlib import Path

import pytest

from builder.distros.identity import forget_identity
from builder.model.errors import HostError
from builder.model.progress import Silent
from builder.runtime.access.exec import capture
from builder.runtime.diff import difference
from builder.runtime.history import clone, schedule, snapshots
from builder.runtime.history.clone import CloneRequest
from builder.runtime.history.transfer import ExportOptions, export_container, import_container
from builder.runtime.lifecycle import control, create
from builder.runtime.record.container import Limits, load
from builder.runtime.upgrade import upgrade
from tests.support.containers.rig import Rig
from tests.support.containers.templates import add, describe
from tests.support.containers.upgrades import NEW, WORK, order
from tests.support.faults.steps import at_each_step
from tests.support.needs import needs

pytestmark = [
    pytest.mark.exhaustive,
    needs("root", "program:runc", "program:conmon", "program:mkfs.ext4"),
]

SIZE = 256 << 20


@pytest.fixture
def rig(rig: Rig, tree: Path) -> Rig:
    describe(rig)
    add(rig, NEW, tree)
    create.create(rig.places, rig.container(limits=Limits(disk=SIZE)))
    return rig


def run(rig: Rig, script: str, name: str = "test") -> str:
    """Start a container if it is stopped, and run a script inside."""
    control.start(rig.places, name, Silent())
    code, said = capture(rig.places, name, ("sh", "-c", script))
    assert code == 0, said
    return said


def stop(rig: Rig, name: str = "test") -> None:
    control.stop(rig.places, name, timeout=20)


def changed(rig: Rig) -> set[str]:
    with difference.opened(rig.places, "test") as (container, layers):
        return {one.row.path for one in difference.differences(layers, container)}


def test_all_verbs(rig: Rig) -> None:
    run(rig, "echo 1 > /a")
    snapshots.create(rig.places, "test", "running")
    run(rig, "echo 2 > /a; echo b > /b")
    assert changed(rig) == {"a", "b"}
    stop(rig)
    assert changed(rig) == {"a", "b"}
    snapshots.create(rig.places, "test", "stopped")
    snapshots.restore(rig.places, "test", "running", discard=True)
    assert run(rig, "cat /a") == "1\n"
    stop(rig)
    snapshots.restore(rig.places, "test", "stopped", discard=True)
    clone.clone(rig.places, "test", CloneRequest("copy"), forget_identity)
    assert run(rig, "cat /a /b", "copy") == "2\nb\n"
    path = rig.places.data / "file"
    with path.open("wb") as file:
        export_container(rig.places, "test", file, ExportOptions())
    import_container(rig.places, path, "taken")
    assert run(rig, "cat /a /b", "taken") == "2\nb\n"
    clone.rename(rig.places, "test", "new")
    clone.rename(rig.places, "new", "test")
    upgrade.upgrade(rig.places, "test", order(rig), Silent())
    assert run(rig, "cat /a /b") == "2\nb\n"
    assert load(rig.places, "test").template == NEW


def test_a_copy_that_does_not_fit_is_undone(rig: Rig) -> None:
    """On ext4, which a limit of files asks for; btrfs would share the blocks."""
    control.destroy(rig.places, "test")
    create.create(rig.places, rig.container(limits=Limits(disk=SIZE, inodes=4096)))
    run(rig, "head -c 150000000 /dev/urandom > /large")
    with pytest.raises(HostError) as caught:
        snapshots.create(rig.places, "test", "one")
    assert caught.value.problem == "the disk of container `test` is full"
    assert run(rig, "ls /large") == "/large\n"
    assert snapshots.listed(rig.places, "test") == {}
    stop(rig)
    snapshots.create(rig.places, "test", "one")


@pytest.mark.parametrize("verb", ["restore", "upgrade"])
def test_death_at_any_step(rig: Rig, verb: str) -> None:
    run(rig, "echo 1 > /a; echo x > /etc/own")
    stop(rig)
    snapshots.create(rig.places, "test", "old")
    run(rig, "echo 2 > /a")
    stop(rig)
    work = {
        "restore": "snapshots.restore(places, 'test', 'old')",
        "upgrade": "request = UpgradeRequest(template, start=False)\n"
        "upgrade.upgrade(places, 'test', request, Silent())",
    }[verb]
    begin = "from builder.runtime.history import snapshots\n" + WORK
    came = False
    for step in range(1, 200, 9):
        process = rig.call(begin + at_each_step(work, step, signal.SIGKILL))
        came = b"came through" in process.communicate(timeout=60)[0]
        schedule.write(rig.places, "test", None)
        new = set(snapshots.listed(rig.places, "test")) - {"old"}
        expected = "1\nx\n" if new and verb == "restore" else "2\nx\n"
        assert run(rig, "cat /a /etc/own") == expected
        stop(rig)
        assert rig.leftovers() == []
        for name in new:
            snapshots.restore(rig.places, "test", name, discard=True)
            snapshots.remove(rig.places, "test", (name,))
        if came:
            break
    assert came
