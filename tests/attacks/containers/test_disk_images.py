"""Disks of containers in which a disk of the host, or a hand, has changed something.

The threat model promises that nothing is lost by looking: each command ends, says what is wrong and
what may mend it, and lets the container be stopped and removed.
"""

import os
import re
import subprocess
from pathlib import Path

import pytest

from builder.model.progress import Silent
from builder.runtime.lifecycle import control, create
from builder.runtime.record.container import Limits, all_names
from builder.runtime.record.layout import folder_of
from tests.support.containers.packed import packed, record_of
from tests.support.containers.rig import Rig, rig_in
from tests.support.containers.templates import describe
from tests.support.needs import needs
from tests.support.oven import Oven

pytestmark = needs("root", "program:runc", "program:conmon", "program:mkfs.ext4", "program:debugfs")

MIB = 1 << 20
INODES = {"root": "/", "upper": "/upper", "folder": "/upper/d", "file": "/upper/d/7"}
DAMAGE = ("superblock", "names", "half", *INODES)


@pytest.fixture(scope="module")
def disk_with_files(tmp_path_factory: pytest.TempPathFactory, tree: Path) -> Path:
    """Give the disk of a container that has written something to it."""
    folder = tmp_path_factory.mktemp("made")
    with rig_in(folder / "home", tree) as rig:
        create.create(rig.places, rig.container(limits=Limits(disk=256 * MIB, inodes=2048)))
        control.start(rig.places, "test", Silent())
        script = "mkdir /d; for n in 1 2 3 4 5 6 7 8; do echo $n >/d/$n; done"
        Oven(rig.places.data)("exec", "test", "--", "sh", "-c", script)
        control.stop(rig.places, "test")
        copy(image_of(rig), folder / "disk.img")
    return folder / "disk.img"


@pytest.fixture
def rig(rig: Rig, disk_with_files: Path) -> Rig:
    describe(rig)
    create.create(rig.places, rig.container(limits=Limits(disk=256 * MIB, inodes=2048)))
    copy(disk_with_files, image_of(rig))
    return rig


def image_of(rig: Rig) -> Path:
    return folder_of(rig.places, "test") / "disk.img"


def copy(source: Path, target: Path) -> None:
    subprocess.run(["cp", "--sparse=always", source, target], check=True)


def damage(image: Path, what: str) -> None:
    """Write over one part of an image."""
    if what == "half":
        os.truncate(image, 10 * MIB)
        return
    if what == "superblock":
        at, size = 1024, 1024
    elif what == "names":
        size = block(image)
        at = int(asked(image, "blocks /upper/d").split()[0]) * size
    else:
        at, size = inode(image, INODES[what]), 256
    with image.open("r+b") as file:
        file.seek(at)
        file.write(b"\xa5" * size)


def inode(image: Path, path: str) -> int:
    found = re.search(r"located at block (\d+), offset 0x(\w+)", asked(image, f"imap {path}"))
    assert found
    return int(found[1]) * block(image) + int(found[2], 16)


def block(image: Path) -> int:
    """Give the size of its blocks, which lies in the superblock as a power of two."""
    with image.open("rb") as file:
        file.seek(1024 + 0x18)
        return 1024 << int.from_bytes(file.read(4), "little")


def asked(image: Path, question: str) -> str:
    argv = ("debugfs", "-R", question, image)
    done = subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout


@pytest.mark.parametrize("what", DAMAGE)
def test_what_is_damaged_is_told_and_nothing_is_lost(rig: Rig, what: str, tmp_path: Path) -> None:
    oven, image = Oven(rig.places.data), image_of(rig)
    damage(image, what)
    size = image.stat().st_size
    for words in (
        ("set", "test", "--disk", "300M"),
        ("export", "test", "-o", str(tmp_path / "exported")),
        ("diff", "test"),
    ):
        said = oven.said(*words, code=3)
        assert f"e2fsck -f {image}" in said
        assert "damaged" in said
        assert "dmesg(1)" not in said
    assert image.stat().st_size == size
    assert not (tmp_path / "exported").exists()
    oven("cp", "test:/d", tmp_path / "copied", code=3)
    oven("show", "test")
    if what in {"superblock", "root", "upper", "half"}:
        for begin in (("start", "test"), ("snapshot", "create", "test", "one")):
            assert f"e2fsck -f {image}" in oven.said(*begin, code=3)
    oven("stop", "test")
    oven("destroy", "test")
    assert all_names(rig.places) == []


def test_one_that_was_mended_has_what_it_had(rig: Rig) -> None:
    """Also when a change was begun before, which is ended then."""
    oven, image = Oven(rig.places.data), image_of(rig)
    damage(image, "superblock")
    oven("snapshot", "create", "test", "one", code=3)
    oven("stop", "test")
    subprocess.run(["e2fsck", "-f", "-y", image], capture_output=True)  # 1: it has mended
    oven("start", "test")
    assert oven("exec", "test", "--", "cat", "/d/7").stdout == b"7\n"
    oven("snapshot", "create", "test", "one")


def test_what_turns_out_to_be_damaged_is_written_to_no_more(rig: Rig) -> None:
    oven = Oven(rig.places.data)
    damage(image_of(rig), "names")
    oven("start", "test")
    oven("exec", "test", "--", "sh", "-c", "touch /before; ls /d", code=2)
    said = oven.said("exec", "test", "--", "touch", "/after", code=1)
    assert "Read-only file system" in said
    oven("stop", "test")


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        (Limits(disk=(1 << 63) + 5), 5),
        (Limits(disk=-1), 5),
        (Limits(disk=256 * MIB, inodes=0), 5),
        (Limits(memory=1 << 90), 5),
        (Limits(disk=1 << 62), 7),
        (Limits(disk=16 * MIB), 7),
        (Limits(inodes=2048), 7),
        (Limits(disk=1 << 60), 3),
        (Limits(disk=256 * MIB, inodes=1 << 40), 3),
    ],
    ids=lambda one: str(one.disk or one.inodes) if isinstance(one, Limits) else "",
)
def test_no_import_makes_a_disk_that_cannot_be(
    rig: Rig, limits: Limits, code: int, tmp_path: Path
) -> None:
    hostile = tmp_path / "hostile"
    hostile.write_bytes(packed(record_of(rig, limits=limits), []))
    Oven(rig.places.data)("import", hostile, "new", code=code)
    assert all_names(rig.places) == ["test"]


@pytest.mark.parametrize(("size", "code"), [("8388608T", 2), ("1048576T", 3)])
def test_no_disk_is_larger_than_what_it_lies_on_can_tell(rig: Rig, size: str, code: int) -> None:
    oven, before = Oven(rig.places.data), image_of(rig).stat().st_size
    oven("set", "test", "--disk", size, code=code)
    assert image_of(rig).stat().st_size == before
    oven("start", "test")
    oven("stop", "test")
