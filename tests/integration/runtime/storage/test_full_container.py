"""A container's own disk that is full: whatever writes there says so, and goes back."""

import shutil
import subprocess
from pathlib import Path

import pytest

from builder.model.value import Digest, hex_of
from builder.runtime.lifecycle import create
from builder.runtime.record import state
from builder.runtime.record.container import Limits, load
from tests.support.containers.rig import DIGEST, Rig
from tests.support.containers.templates import add, describe
from tests.support.needs import needs
from tests.support.oven import Oven

pytestmark = [
    pytest.mark.exhaustive,
    needs("root", "program:runc", "program:conmon", "program:mkfs.btrfs"),
]

NEW = Digest("sha256:" + "cd" * 32)
FILL = """\
dd if=/dev/zero of=/big bs=1M
dd if=/dev/zero of=/more bs=512
while touch /f$n; do n=1$n; done
true
"""


@pytest.fixture(scope="module")
def tree(tree: Path) -> Path:
    (tree / "var/lib/dpkg").mkdir(parents=True)
    (tree / "var/lib/dpkg/status").touch()
    (tree / "etc/touched").write_text("1\n")
    return tree


@pytest.fixture
def rig(rig: Rig, tree: Path, tmp_path: Path) -> Rig:
    shutil.copytree(tree, tmp_path / "new", symlinks=True)
    (tmp_path / "new/etc/touched").write_text("2\n" * 100_000)
    describe(rig)
    add(rig, NEW, tmp_path / "new", "new")
    return rig


@pytest.fixture(params=["btrfs", "ext4"])
def full(rig: Rig, request: pytest.FixtureRequest) -> Oven:
    inodes = 2000 if request.param == "ext4" else None
    limits = Limits(disk=256 << 20, inodes=inodes)
    create.create(rig.places, rig.container(limits=limits))
    oven = Oven(rig.places.data)
    oven("start", "test")
    oven("snapshot", "create", "test", "old")
    oven("exec", "test", "--", "sh", "-c", "echo mine >/etc/touched")
    oven("exec", "test", "--", "sh", "-c", FILL)
    return oven


def check(rig: Rig, oven: Oven, said: str) -> None:
    """The right disk is named, and the container runs on with all that it had."""
    assert "disk of container `test` is full" in said
    assert "oven set test --disk" in said
    assert "prune" not in said
    assert load(rig.places, "test").template == DIGEST
    assert state.status(rig.places, "test") == "running"
    assert oven("exec", "test", "--", "cat", "/etc/touched").stdout == b"mine\n"


def test_an_upgrade(rig: Rig, full: Oven) -> None:
    check(rig, full, full.said("upgrade", "test", "--to", hex_of(NEW), code=3))


def test_a_snapshot(rig: Rig, full: Oven) -> None:
    check(rig, full, full.said("snapshot", "create", "test", "one", code=3))
    assert "one" not in full("snapshot", "list", "test").stdout.decode()


def test_a_copy_into_it(rig: Rig, full: Oven, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 100000)
    check(rig, full, full.said("cp", str(tmp_path / "file"), "test:/file", code=3))


def test_a_restart(rig: Rig, full: Oven) -> None:
    full("restart", "test")
    assert state.status(rig.places, "test") == "running"


def test_more_room_is_enough(rig: Rig, full: Oven) -> None:
    full("stop", "test")
    full("set", "test", "--disk", "300M")
    full("start", "test")
    full("exec", "test", "--", "touch", "/room")


def test_going_back(rig: Rig, full: Oven) -> None:
    check(rig, full, full.said("snapshot", "restore", "test", "old", "--stop", code=3))


def test_a_clone(rig: Rig, full: Oven) -> None:
    """One that runs is halted for it, which is noted on its own disk."""
    check(rig, full, full.said("clone", "test", "other", code=3))
    full("stop", "test")
    done = subprocess.run(
        full.line("clone", "test", "other"), env=full.environment, capture_output=True
    )
    if done.returncode:
        assert b"the disk of the new container is full" in done.stderr
        assert list((rig.places.data / "containers").glob("new*")) == []
    full("start", "test")
