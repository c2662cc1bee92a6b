"""Limits of containers: set at a start and changed live, kept, and really enforced."""

import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from builder.cli.app import oven
from builder.host.kernel import cgroups, hierarchies
from builder.model.errors import ConflictError, HostError, RecipeError
from builder.model.progress import Silent
from builder.runtime.access.exec import capture
from builder.runtime.bundle.process import CommandOrder
from builder.runtime.inspect import show
from builder.runtime.lifecycle import control, create, update
from builder.runtime.lifecycle.run import run_command
from builder.runtime.record import layout
from builder.runtime.record.container import Container, Limits, load
from builder.runtime.record.layout import cgroup_of, volatile_of
from builder.runtime.recovery import repair
from builder.runtime.resources import usage
from builder.runtime.resources.limits import usual_processes
from tests.support.containers import rig as support
from tests.support.containers.rig import Rig
from tests.support.faults.steps import at_each_step
from tests.support.needs import needs

pytestmark = needs("root", "program:runc", "program:conmon")

MIB = 1 << 20
V1 = hierarchies.layout() is hierarchies.Layout.LEGACY
on_version_1 = pytest.mark.skipif(not V1, reason="this host has version 2 cgroups")


@pytest.fixture(scope="module")
def tree(tree: Path) -> Path:
    (tree / "data").write_bytes(b"x" * 2 * MIB)
    return tree


def start(rig: Rig, limits: Limits | None = None, name: str = "test") -> None:
    create.create(rig.places, rig.container(name, limits=limits))
    control.start(rig.places, name, Silent())


def change(rig: Rig, **fields: object) -> update.Changed:
    return update.change(rig.places, "test", changed(**fields))


def changed(**fields: object) -> Callable[[Container], Container]:
    def describe(container: Container) -> Container:
        limits = msgspec.structs.replace(container.limits, **fields)
        return msgspec.structs.replace(container, limits=limits)

    return describe


def used(rig: Rig) -> usage.Usage:
    pid = show.show(rig.places, "test").pid
    assert pid
    with usage.reader(rig.places) as read:
        return read("test", pid)


@dataclass(frozen=True)
class Held:
    """What the kernel holds a container to."""

    memory: int | None
    swap: int | None
    pids: int | None
    cpus: float | None
    weight: int


def held(rig: Rig) -> Held:
    now = used(rig)
    whole = cgroups.accounts().whole("cpu", cgroup_of(rig.places, "test"))
    if V1:
        weight = int((whole / "cpu.shares").read_text()) * 100 // 1024
    else:
        weight = int((whole / "cpu.weight").read_text())
    memory = now.memory
    return Held(memory.limit, memory.swap_limit, now.pids.limit, now.cpu.limit, weight)


def of_record(rig: Rig) -> Held:
    limits = load(rig.places, "test").limits
    return Held(limits.memory, limits.swap, limits.pids or USUAL, limits.cpus, limits.weight or 100)


USUAL = usual_processes()
SOME = Limits(memory=64 * MIB, swap=0, pids=50, cpus=0.5, weight=200)


def test_they_hold_from_the_start_and_change_live_and_stay(rig: Rig) -> None:
    start(rig, SOME)
    assert held(rig) == of_record(rig) == Held(64 * MIB, 0, 50, 0.5, 200)
    done = change(rig, memory=96 * MIB, pids=None, cpus=1.5, weight=50)
    assert len(done.writes) == 5 if V1 else 4
    assert held(rig) == of_record(rig) == Held(96 * MIB, 0, USUAL, 1.5, 50)
    change(rig, memory=32 * MIB, swap=8 * MIB)
    assert held(rig) == of_record(rig) == Held(32 * MIB, 8 * MIB, USUAL, 1.5, 50)
    change(rig, memory=None, swap=None, cpus=None, weight=None)
    assert held(rig) == of_record(rig) == Held(None, None, USUAL, None, 100)
    control.stop(rig.places, "test", timeout=20)
    assert change(rig, memory=48 * MIB, weight=300).writes == ()
    control.start(rig.places, "test", Silent())
    assert held(rig) == of_record(rig) == Held(48 * MIB, None, USUAL, None, 300)


def test_a_dry_run_changes_nothing(rig: Rig) -> None:
    start(rig, SOME)
    told = update.change(rig.places, "test", changed(pids=9), dry=True)
    assert [(write.path.name, write.value) for write in told.writes] == [("pids.max", "9")]
    assert held(rig) == of_record(rig) == Held(64 * MIB, 0, 50, 0.5, 200)


def test_what_the_kernel_refuses_changes_nothing(rig: Rig) -> None:
    start(rig, SOME)
    before = held(rig)
    # Memory comes first and is taken; no kernel takes so many processes.
    with pytest.raises(HostError, match="the kernel refuses") as caught:
        change(rig, memory=80 * MIB, pids=1 << 60)
    assert caught.value.at is not None
    assert held(rig) == of_record(rig) == before
    assert not (volatile_of(rig.places, "test") / layout.SETTING).exists()


def test_less_memory_than_is_in_use_is_refused(rig: Rig) -> None:
    start(rig, Limits(memory=64 * MIB, swap=0))
    hold = "head -c 20M /dev/zero | tail -c 20M | sleep 1000"
    assert capture(rig.places, "test", ("sh", "-c", f"({hold}) > /dev/null 2>&1 &"))[0] == 0
    wait_until(lambda: (used(rig).memory.anonymous or 0) > 18 * MIB)
    with pytest.raises(ConflictError, match=r"uses [23]\d\.\d MiB, and cannot be held to 8\.0"):
        change(rig, memory=8 * MIB)
    assert held(rig).memory == of_record(rig).memory == 64 * MIB


SET = """
from builder.runtime.lifecycle import update
from builder.runtime.record.container import Limits
import msgspec
new = Limits(memory=96 << 20, swap=1 << 20, pids=70, cpus=0.7, weight=75)
update.change(places, "test", lambda old: msgspec.structs.replace(old, limits=new))
"""


@pytest.mark.exhaustive
def test_kill_9_at_any_step_leaves_record_and_kernel_agreeing(rig: Rig) -> None:
    start(rig, SOME)
    old, new = Held(64 * MIB, 0, 50, 0.5, 200), Held(96 * MIB, MIB, 70, 0.7, 75)
    seen, disagreed, came_through = set(), 0, False
    for step in range(1, 40):
        change(rig, memory=64 * MIB, swap=0, pids=50, cpus=0.5, weight=200)
        process = rig.call(at_each_step(SET, step, 9))
        out, err = process.communicate(timeout=60)
        assert process.returncode in {0, -9}, err
        disagreed += held(rig) != of_record(rig)
        with repair.holding(rig.places, "test"):
            pass  # any command that changes something begins with this
        assert held(rig) == of_record(rig), f"died at step {step}"
        assert not (volatile_of(rig.places, "test") / layout.SETTING).exists()
        seen.add(of_record(rig))
        if came_through := b"came through" in out:
            break
    assert came_through
    assert seen == {old, new}
    assert disagreed > 2, "the deaths must have hit something"


SET_DISK = """
from builder.runtime.lifecycle import update
from builder.runtime.record.container import Limits
import msgspec
new = Limits(disk=320 << 20, pids=70)
update.change(places, "test", lambda old: msgspec.structs.replace(old, limits=new))
"""


@pytest.mark.exhaustive
@needs("program:mkfs.btrfs")
@pytest.mark.parametrize("runs", [True, False], ids=["running", "stopped"])
def test_kill_9_at_any_step_leaves_record_and_disk_agreeing(rig: Rig, *, runs: bool) -> None:
    old, new = Limits(disk=256 * MIB, pids=50), Limits(disk=320 * MIB, pids=70)
    create.create(rig.places, rig.container(limits=old))
    if runs:
        control.start(rig.places, "test", Silent())
    image = rig.places.data / "containers/test/disk.img"
    seen, came_through = set(), False
    for step in range(1, 60, 2):
        change(rig, disk=old.disk, pids=old.pids)
        process = rig.call(at_each_step(SET_DISK, step, 9))
        out, err = process.communicate(timeout=60)
        assert process.returncode in {0, -9}, err
        with repair.holding(rig.places, "test") as held:
            kept = held.record
            assert kept.limits in {old, new}
        assert image.stat().st_size == kept.limits.disk, f"died at step {step}"
        if runs:
            now = used(rig)
            assert now.pids.limit == kept.limits.pids
            assert now.disk
            assert now.disk.limit_bytes == kept.limits.disk
        seen.add(kept.limits)
        if came_through := b"came through" in out:
            break
    assert came_through
    assert seen == {old, new}
    names = {path.name for path in image.parent.iterdir()}
    assert names <= {"container.json", "disk.img", "console.log", "end.json"}


def test_memory_is_enforced_and_kills_are_told(rig: Rig) -> None:
    start(rig, Limits(memory=32 * MIB, swap=0))
    assert used(rig).memory.oom_kills == 0
    eat = "head -c 200M /dev/zero | tail -c 100M > /dev/null"
    assert capture(rig.places, "test", ("sh", "-c", eat))[0] != 0
    now = used(rig).memory
    assert now.oom_kills
    assert (now.used or 0) <= 32 * MIB


def test_a_fork_bomb_is_stopped(rig: Rig) -> None:
    start(rig, Limits(pids=30))
    bomb = "while :; do sleep 1000 > /dev/null 2>&1 & done"
    code, said = capture(rig.places, "test", ("sh", "-c", bomb))
    assert (code, "Cannot fork" in said) == (2, True)
    assert used(rig).pids == usage.Count(used=29, limit=30)


def test_processors_are_enforced(rig: Rig) -> None:
    start(rig, Limits(cpus=0.2))
    before = used(rig)
    work = "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done"
    assert capture(rig.places, "test", ("sh", "-c", work))[0] == 0
    after = used(rig)
    assert (after.cpu.throttled or 0) > (before.cpu.throttled or 0)
    time_used = (after.cpu.seconds or 0) - (before.cpu.seconds or 0)
    # The kernel lends at most a slice on each processor (sched-bwc.rst).
    assert 0 < time_used <= 0.2 * (after.at - before.at) + 0.1


@pytest.mark.parametrize("disk", [None, pytest.param(256 * MIB, marks=needs("program:mkfs.btrfs"))])
def test_reading_is_enforced(rig: Rig, disk: int | None) -> None:
    """Of the host's disk, and through the image of a disk that is limited in size."""
    start(rig, Limits(read_bytes=2 * MIB, disk=disk))
    source = "/data"
    if disk:
        source = "/mine"
        copy = ("dd", "if=/data", "of=/mine", "bs=256k", "oflag=direct")
        assert capture(rig.places, "test", copy)[0] == 0
    read = ("dd", f"if={source}", "of=/dev/null", "bs=256k", "iflag=direct")
    before = used(rig)
    assert capture(rig.places, "test", read)[0] == 0
    after = used(rig)
    moved = (after.io.read_bytes or 0) - (before.io.read_bytes or 0)
    assert moved >= 2 * MIB
    # Never faster than was allowed, but for what comes free with the first tenth of a second.
    assert moved <= 2 * MIB * (after.at - before.at) + MIB
    change(rig, read_bytes=None)
    began = used(rig)
    assert capture(rig.places, "test", read)[0] == 0
    ended = used(rig)
    assert ended.at - began.at < after.at - before.at


@on_version_1
@pytest.mark.parametrize(
    ("limits", "problem"),
    [
        (Limits(write_bytes=MIB), "cannot limit what a container writes to disks: with version 1"),
        (Limits(write_operations=5), "cannot limit what a container writes"),
        (Limits(swap=0), "can limit swap only together with memory"),
    ],
)
def test_what_this_host_cannot_do_is_refused(rig: Rig, limits: Limits, problem: str) -> None:
    with pytest.raises(HostError, match=problem):
        create.create(rig.places, rig.container(limits=limits))
    create.create(rig.places, rig.container())
    with pytest.raises(HostError, match=problem):
        update.change(rig.places, "test", lambda old: msgspec.structs.replace(old, limits=limits))
    assert load(rig.places, "test").limits == Limits()


def test_a_disk_in_memory_cannot_be_slowed(rig: Rig) -> None:
    places = msgspec.structs.replace(rig.places, data=Path("/dev/shm"))
    with pytest.raises(HostError, match="does not lie on one block device"):
        create.create(places, rig.container(limits=Limits(read_bytes=MIB)))


def test_one_command_alone_is_limited_too(rig: Rig) -> None:
    limited = rig.container(limits=Limits(pids=10, weight=300, read_bytes=MIB))
    order = CommandOrder(("sh", "-c", "i=0; while [ $i -lt 20 ]; do sleep 9 & i=$((i+1)); done"))
    assert run_command(rig.places, limited, order) == 2


def test_a_host_without_controllers_is_named(rig: Rig) -> None:
    """Where version 2 is all there is, and has no controller of memory."""
    code = """
    from builder.model.errors import HostError
    from builder.runtime.resources import limits
    from builder.runtime.lifecycle import control
    from builder.runtime.record.container import Limits, load
    import msgspec
    for one in (Limits(memory=1 << 30), Limits(pids=5), Limits(weight=5), Limits(read_bytes=5)):
        try:
            limits.check(places, msgspec.structs.replace(load(places, "test"), limits=one))
        except HostError as error:
            print(error.problem)
    """
    create.create(rig.places, rig.container())
    program = support.PREAMBLE.format(home=rig.places.data) + textwrap.dedent(code)
    bare = "mount -t tmpfs none /sys/fs/cgroup && mkdir /sys/fs/cgroup/none"
    if V1:
        bare = "mount -t cgroup2 none /sys/fs/cgroup"
    argv = ["unshare", "-m", "--propagation", "private", "sh", "-c", f'{bare} && exec "$@"', "sh"]
    done = subprocess.run(
        [*argv, sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    names = ("memory", "pids", "cpu", "io" if V1 else "blkio")
    assert done.stdout.splitlines() == [
        f"this host cannot limit {name}: it has no such cgroup controller" for name in names
    ]


def said(*words: str) -> str:
    done = CliRunner().invoke(oven, words)
    assert done.exit_code == 0, done.output
    return done.output


def test_the_verb(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OVEN_HOME", str(rig.places.data))
    start(rig, SOME)
    planned = said("set", "test", "--pids", "60", "--memory", "none", "--swap", "none", "--dry-run")
    assert "pids.max\t60" in planned
    assert f"{rig.places.data}/containers/test/container.json\tlimits" in planned
    assert held(rig).pids == 50
    said("set", "test", "--pids", "60", "--hostname", "other")
    assert (held(rig).pids, load(rig.places, "test").hostname) == (60, "other")
    assert held(rig).memory == 64 * MIB
    with pytest.raises(RecipeError, match="nothing to change"):
        raise CliRunner().invoke(oven, ["set", "test"]).exception or AssertionError
    said("set", "test", "--protect", "--restart", "always")
    kept = load(rig.places, "test")
    assert (kept.protected, kept.restart) == (True, "always")
    said("set", "test", "--no-protect", "--restart", "no", "--memory", "none", "--swap", "none")
    lines = [line.split("  ", 2)[2].rstrip() for line in said("events").splitlines()]
    assert [line for line in lines if line.startswith("set ")] == [
        "set hostname=other pids=60",
        "set restart=always protected=yes",
        "set restart=no protected=no memory=none swap=none",
    ]


def wait_until(done: Callable[[], bool]) -> None:
    """Wait for what the kernel tells of nothing but a number in a file."""
    for _ in range(1000):
        if done():
            return
        time.sleep(0.02)
    pytest.fail("it did not come")
