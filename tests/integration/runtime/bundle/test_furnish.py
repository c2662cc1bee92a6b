"""What a container has as a machine has it: mounts, an id for each boot, sizes, and devices."""

import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from builder.host import pids
from builder.model.errors import HostError
from builder.model.progress import Silent
from builder.runtime.access.exec import capture
from builder.runtime.bundle.lxcfs import ROOT, is_there
from builder.runtime.lifecycle import control, create
from builder.runtime.record import state
from builder.runtime.record.container import Container, Limits
from tests.support.containers.rig import Rig, add_program
from tests.support.needs import needs, require
from tests.support.oven import Oven, text

pytestmark = needs("root", "program:runc", "program:conmon")

MIB = 1 << 20


def started(rig: Rig, **fields: object) -> Rig:
    create.create(rig.places, msgspec.structs.replace(rig.container(), **fields))
    control.start(rig.places, "test", Silent())
    return rig


def inside(rig: Rig, script: str, code: int = 0) -> str:
    ended, said = capture(rig.places, "test", ("sh", "-c", script))
    assert ended == code, said
    return said


def size_of(rig: Rig, folder: str) -> int:
    return int(inside(rig, f"df --output=size -B1 {folder} | tail -n1"))


def test_everything_propagates(rig: Rig) -> None:
    started(rig)
    table = inside(rig, "cat /proc/self/mountinfo").splitlines()
    assert [line for line in table if " shared:" not in line] == []


def test_each_start_has_a_boot_id(rig: Rig) -> None:
    read = "cat /proc/sys/kernel/random/boot_id"
    started(rig)
    first = inside(rig, read)
    assert first == inside(rig, read)
    control.stop(rig.places, "test", timeout=20)
    control.start(rig.places, "test", Silent())
    assert len({first, inside(rig, read), f"{pids.boot_id()}\n"}) == 3


def test_nobody_inside_changes_it(rig: Rig) -> None:
    started(rig)
    inside(rig, "echo x >/proc/sys/kernel/random/boot_id", code=2)
    inside(rig, "mount -o remount,bind,rw /proc/sys/kernel/random/boot_id", code=32)


def test_sizes_follow_the_memory(rig: Rig, oven: Oven) -> None:
    started(rig, limits=Limits(memory=100 * MIB))
    assert (size_of(rig, "/dev/shm"), size_of(rig, "/run")) == (50 * MIB, 20 * MIB)
    oven("set", "test", "--memory", "200M", "--run-size", "30M")
    assert (size_of(rig, "/dev/shm"), size_of(rig, "/run")) == (100 * MIB, 30 * MIB)


def test_who_fills_one_hears_of_it_and_nothing_ends(rig: Rig, oven: Oven) -> None:
    started(rig, limits=Limits(memory=64 * MIB, swap=0))
    said = inside(rig, "head -c 50M /dev/zero 2>&1 >/dev/shm/x", code=1)
    assert "No space left on device" in said
    assert state.status(rig.places, "test") == "running"
    told = oven.said("set", "test", "--shm-size", "1M", code=7)
    assert "`/dev/shm` in container `test` cannot have that size" in told
    assert size_of(rig, "/dev/shm") == 32 * MIB


def test_processes_have_a_ceiling(rig: Rig, oven: Oven) -> None:
    started(rig)
    most = min(16384, int(Path("/proc/sys/kernel/pid_max").read_text()) // 4)
    shown = oven.json("show", "test")
    assert isinstance(shown, dict)
    assert shown["use"]["pids"]["limit"] == most
    oven("set", "test", "--pids", "30000")
    oven("set", "test", "--pids", "none")
    shown = oven.json("show", "test")
    assert isinstance(shown, dict)
    assert shown["use"]["pids"]["limit"] == most


def test_features_bring_devices(rig: Rig) -> None:
    started(rig, features=("tun", "fuse"), devices=("/dev/loop-control",))
    line = "stat -c '%u %g %a %F' /dev/net/tun /dev/fuse /dev/loop-control"
    kind = "character special file"
    mode = stat.S_IMODE(Path("/dev/loop-control").stat().st_mode)
    assert inside(rig, line) == f"0 0 666 {kind}\n0 0 666 {kind}\n0 0 {mode:o} {kind}\n"
    inside(rig, "exec 3<>/dev/fuse")


def test_without_them_there_are_none(rig: Rig) -> None:
    started(rig)
    assert inside(rig, "ls /dev/net /dev/fuse /dev/kmsg /dev/.oven 2>/dev/null", code=2) == ""


def test_nobody_inside_writes_the_hosts_log(rig: Rig) -> None:
    started(rig, features=("kmsg",))
    assert "Permission denied" in inside(rig, "echo x 2>&1 >/dev/kmsg", code=2)


@pytest.mark.parametrize("path", ["/dev/none-of-that-name", "/dev/pts"])
def test_what_is_no_device_is_told(rig: Rig, path: str) -> None:
    made: Container = msgspec.structs.replace(rig.container(), devices=(path,))
    create.create(rig.places, made)
    with pytest.raises(HostError, match="no device"):
        control.start(rig.places, "test", Silent())
    assert state.status(rig.places, "test") == "stopped"


@pytest.mark.parametrize("path", ["/etc/passwd", "/dev/../etc/passwd", "/dev/null", "null"])
def test_what_names_no_device_is_refused(rig: Rig, oven: Oven, path: str) -> None:
    create.create(rig.places, rig.container())
    assert f"`{path}` cannot be given" in oven.said("set", "test", "--device", path, code=2)


@pytest.mark.parametrize("features", [(), ("nesting",)])
def test_namespaces_inside(rig: Rig, tree: Path, features: tuple[str, ...]) -> None:
    add_program(tree, "unshare")
    started(rig, features=features)
    code = 0 if features else 1
    inside(rig, "unshare -Urpfm --mount-proc true", code=code)
    inside(rig, "unshare -Urnm mount -t sysfs none /tmp", code=0 if features else 32)


@pytest.fixture
def lxcfs(tmp_path: Path) -> Iterator[None]:
    """lxcfs where it is expected, started here unless it runs."""
    require("program:lxcfs")
    if is_there():
        yield
        return
    ROOT.mkdir(exist_ok=True)
    process = subprocess.Popen(
        ["lxcfs", "--foreground", f"--pidfile={tmp_path}/pid", ROOT],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while not (ROOT / "proc/uptime").exists():
            assert process.poll() is None
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait()


@pytest.mark.alone  # other containers would be shown it, too
@pytest.mark.usefixtures("lxcfs")
def test_it_is_told_its_own_memory_and_time(rig: Rig, oven: Oven) -> None:
    started(rig, limits=Limits(memory=64 * MIB))
    assert f"MemTotal:{64 << 10:>15} kB" in inside(rig, "cat /proc/meminfo")
    assert float(inside(rig, "cat /proc/uptime").split()[0]) < 1000
    oven("set", "test", "--no-lxcfs")
    control.stop(rig.places, "test", timeout=20)
    control.start(rig.places, "test", Silent())
    assert inside(rig, "cat /proc/meminfo").splitlines()[0] == host_memory()


def host_memory() -> str:
    return Path("/proc/meminfo").read_text().splitlines()[0]


def test_options_add_and_take_away(rig: Rig, oven: Oven) -> None:
    create.create(rig.places, rig.container())
    oven("set", "test", "--feature", "tun", "--device", "/dev/loop-control")
    oven("set", "test", "--feature", "fuse", "--no-lxcfs")
    shown = oven.json("show", "test")
    assert isinstance(shown, dict)
    kept = (shown["features"], shown["devices"], shown["lxcfs"])
    assert kept == (["tun", "fuse"], ["/dev/loop-control"], False)
    assert "makes network interfaces by `/dev/net/tun`" in text(oven("show", "test").stdout)
    oven("set", "test", "--feature", "none", "--device", "none")
    shown = oven.json("show", "test")
    assert isinstance(shown, dict)
    assert (shown["features"], shown["devices"]) == ([], [])
