"""Devices that a running container is given and that are taken away, by `oven set`, at once."""

import os
import stat
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from builder.model.progress import Silent
from builder.runtime.access.exec import capture
from builder.runtime.bundle import devices
from builder.runtime.lifecycle import control, create
from builder.runtime.record import layout, state
from builder.runtime.record.layout import volatile_of
from tests.support.containers.rig import Rig, add_program
from tests.support.needs import needs
from tests.support.oven import Oven, text

pytestmark = needs("root", "program:runc", "program:conmon")

OPEN = "exec 3<>{}"
NODES = "/dev/net/tun /dev/fuse /dev/kmsg"


@pytest.fixture
def inside(rig: Rig, tree: Path) -> Callable[..., str]:
    """A running container without any feature; runs a script in it."""
    add_program(tree, "ip")
    made = msgspec.structs.replace(rig.container(), features=())
    create.create(rig.places, made)
    control.start(rig.places, "test", Silent())

    def run(script: str, code: int = 0) -> str:
        ended, said = capture(rig.places, "test", ("sh", "-c", script))
        assert ended == code, said
        return said

    return run


def shown(oven: Oven) -> dict[str, object]:
    found = oven.json("show", "test")
    assert isinstance(found, dict)
    return found


def first_process(rig: Rig) -> int:
    found = state.read(rig.places, "test")
    assert found is not None
    return found.pid


def test_what_features_bring_is_there_at_once(
    rig: Rig, oven: Oven, inside: Callable[..., str]
) -> None:
    inside("ip tuntap add dev tun9 mode tun", code=1)
    before = first_process(rig)
    said = oven.said("set", "test", "--feature", "tun", "--feature", "fuse", "--feature", "kmsg")
    assert "note:" not in said
    assert first_process(rig) == before
    kind = "character special file"
    assert inside(f"stat -c '%u %g %a %F' {NODES}").splitlines()[:2] == [f"0 0 666 {kind}"] * 2
    inside(OPEN.format("/dev/fuse"))
    assert inside("ip tuntap add dev tun9 mode tun; ip -o link show tun9").count("tun9") == 1
    assert "Permission denied" in inside("echo x 2>&1 >/dev/kmsg", code=2)
    assert shown(oven)["now"] == {"features": ["tun", "fuse", "kmsg"], "devices": [], "ids": 65536}
    table = inside("cat /proc/self/mountinfo").splitlines()
    assert [line for line in table if " shared:" not in line] == []


def test_it_is_gone_at_once(oven: Oven, inside: Callable[..., str]) -> None:
    oven("set", "test", "--feature", "tun", "--feature", "fuse", "--feature", "kmsg")
    said = oven.said("set", "test", "--feature", "none")
    assert "note:" not in said
    assert inside("ls /dev/fuse /dev/kmsg /dev/net/tun 2>/dev/null", code=2) == ""
    assert "/dev/fuse" not in inside("cat /proc/self/mountinfo")
    oven("set", "test", "--feature", "fuse")
    inside(OPEN.format("/dev/fuse"))


def test_what_it_had_at_its_start_is_taken_away(rig: Rig, oven: Oven) -> None:
    made = msgspec.structs.replace(
        rig.container(), features=("tun", "fuse", "kmsg"), devices=("/dev/loop-control",)
    )
    create.create(rig.places, made)
    control.start(rig.places, "test", Silent())
    assert "note:" not in oven.said("set", "test", "--feature", "none", "--device", "none")
    code, said = capture(rig.places, "test", ("ls", "/dev/loop-control", *NODES.split()))
    assert (code, said.count("No such file")) == (2, 4)


def test_it_is_there_after_a_restart(rig: Rig, oven: Oven, inside: Callable[..., str]) -> None:
    oven("set", "test", "--feature", "fuse")
    oven("restart", "test")
    inside(OPEN.format("/dev/fuse"))
    oven("set", "test", "--feature", "none")
    oven("restart", "test")
    inside("ls /dev/fuse", code=2)


@pytest.mark.skipif(devices.filtered(), reason="version 2 lets no further device through")
def test_a_device_by_its_name(oven: Oven, inside: Callable[..., str]) -> None:
    path = "/dev/loop-control"
    oven("set", "test", "--device", path)
    inside(OPEN.format(path))
    mode = stat.S_IMODE(Path(path).stat().st_mode)
    assert inside(f"stat -c '%u %g %a' {path}") == f"0 0 {mode:o}\n"
    # Root inside keeps one that is taken away; with version 1 it is of no use any more.
    inside(f"touch /run/kept; mount --bind {path} /run/kept; exec 3<>/run/kept")
    oven("set", "test", "--device", "none")
    inside(f"ls {path}", code=2)
    assert "Operation not permitted" in inside("exec 2>&1 3<>/run/kept", code=2)


@contextmanager
def held_open(oven: Oven, path: str) -> Iterator[None]:
    """Have a program inside that has a device open."""
    script = f"exec 3<>{path}; echo; exec sleep 1000"
    process = oven.start("exec", "test", "--", "sh", "-c", script)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        yield
    finally:
        process.terminate()
        process.communicate()


def test_what_is_open_stays_and_is_told(oven: Oven, inside: Callable[..., str]) -> None:
    oven("set", "test", "--feature", "fuse")
    with held_open(oven, "/dev/fuse"):
        said = oven.said("set", "test", "--feature", "none")
        assert "note: `/dev/fuse` stays until it is stopped: it is open in process" in said
        found = shown(oven)
        had = {"features": ["fuse"], "devices": [], "ids": 65536}
        assert (found["features"], found["now"]) == ([], had)
        told = text(oven("show", "test").stdout)
        assert "mounts file systems by `/dev/fuse`" in told
        assert "without fuse" in told
    # Whoever asks again has it taken away, since nothing keeps it any more.
    assert "note:" not in oven.said("set", "test", "--feature", "none")
    inside("ls /dev/fuse", code=2)


def test_what_needs_a_start_is_told(oven: Oven, inside: Callable[..., str]) -> None:
    said = oven.said("set", "test", "--feature", "nesting", "--feature", "tun", "--ids", "131072")
    assert "note: ids and nesting will be changed when `test` is started again" in said
    inside(OPEN.format("/dev/net/tun"))
    inside("ls /dev/.oven", code=2)
    lines = text(oven("show", "test").stdout)
    assert "with nesting" in lines
    assert "131072 ids instead of 65536" in lines
    assert "sees what is masked" not in lines
    oven("restart", "test")
    lines = text(oven("show", "test").stdout)
    assert "next start" not in lines
    assert "sees what is masked" in lines
    inside("ls /dev/.oven")


@pytest.mark.parametrize(
    "way", ["mkdir -p /dev/net/tun/x", "mkdir /dev/net; ln -s /etc/passwd /dev/net/tun"]
)
def test_what_fails_leaves_all_as_it_was(oven: Oven, inside: Callable[..., str], way: str) -> None:
    inside(way)
    words = ("--feature", "fuse", "--feature", "tun", "--memory", "100M")
    said = oven.said("set", "test", *words, code=3)
    assert "`/dev/net/tun` cannot be given to container `test`" in said
    inside("ls /dev/fuse", code=2)
    found = shown(oven)
    assert (found["features"], found["now"]) == (
        [],
        {"features": [], "devices": [], "ids": 65536},
    )
    use = found["use"]
    assert isinstance(use, dict)
    assert use["memory"]["limit"] is None
    oven("set", "test", "--feature", "fuse")
    inside(OPEN.format("/dev/fuse"))


def test_what_this_host_has_not_is_refused(oven: Oven, inside: Callable[..., str]) -> None:
    words = ("--feature", "fuse", "--device", "/dev/none-of-that-name")
    assert "this host has no device" in oven.said("set", "test", *words, code=3)
    inside("ls /dev/fuse", code=2)


def test_what_was_cut_off_is_undone(rig: Rig, oven: Oven, inside: Callable[..., str]) -> None:
    with rig.call(
        """
        import os, msgspec
        from builder.runtime.lifecycle import update
        from builder.runtime.recovery.held import Held
        Held.save = lambda *_: os.kill(os.getpid(), 9)
        change = lambda one: msgspec.structs.replace(one, features=("fuse",))
        update.change(places, "test", change)
        """
    ) as process:
        process.communicate()
    assert process.returncode == -9
    inside(OPEN.format("/dev/fuse"))
    oven("set", "test", "--restart", "always")
    inside("ls /dev/fuse", code=2)
    assert not (volatile_of(rig.places, "test") / layout.SETTING).exists()


def test_nothing_changes_before_it_is_told(oven: Oven, inside: Callable[..., str]) -> None:
    said = text(oven("set", "test", "--feature", "fuse", "--dry-run").stdout)
    assert "/dev/fuse\tgiven" in said
    inside("ls /dev/fuse", code=2)


def test_no_mount_on_it_shows_on_the_host(oven: Oven, inside: Callable[..., str]) -> None:
    oven("set", "test", "--feature", "kmsg")
    inside("mount --bind /dev/null /dev/kmsg")
    assert os.major(Path("/dev/kmsg").stat().st_rdev) == 1
    assert os.minor(Path("/dev/kmsg").stat().st_rdev) == 11
    table = subprocess.run(["findmnt", "-n", "/dev/kmsg"], capture_output=True, check=False)
    assert table.stdout == b""
