"""Disk limits: what the guest sees of them, where they bite, and how they change."""

import subprocess
from pathlib import Path

import msgspec
import pytest

from builder.host.trees import images
from builder.model.errors import ConflictError, HostError
from builder.model.progress import Silent
from builder.runtime.access.exec import capture
from builder.runtime.lifecycle import control, create
from builder.runtime.record.container import Container, Limits, all_names, load, save
from builder.runtime.record.layout import folder_of
from builder.runtime.storage import image, writable
from tests.support.containers.rig import Rig, rig_in
from tests.support.needs import needs
from tests.support.oven import Oven

pytestmark = needs("root", "program:runc", "program:conmon", "program:mkfs.btrfs")

MIB = 1 << 20


def make(rig: Rig, **limits: int) -> Container:
    return create.create(rig.places, rig.container(limits=Limits(**limits)))


def start(rig: Rig) -> None:
    control.start(rig.places, "test", Silent())


def sh(rig: Rig, script: str) -> tuple[int, str]:
    return capture(rig.places, "test", ("sh", "-c", script))


def size(rig: Rig) -> int:
    """Give the size that the guest's `df` shows for /, in MiB."""
    code, said = sh(rig, "df -m --output=size / | tail -1")
    assert code == 0, said
    return int(said)


def resize(rig: Rig, **limits: int) -> None:
    """Do what `oven set` does."""
    container = load(rig.places, "test")
    wanted = Limits(**limits)
    image.resize(rig.places, container, wanted)
    save(rig.places, msgspec.structs.replace(container, limits=wanted))


def test_df_shows_the_size_and_the_limit_bites(rig: Rig) -> None:
    make(rig, disk=256 * MIB)
    start(rig)
    assert size(rig) == 256
    code, said = sh(rig, "dd if=/dev/zero of=/big bs=1M count=400")
    assert code == 1
    assert "No space left on device" in said
    written = (rig.places.data / "containers/test/disk.img").stat().st_blocks * 512
    assert written <= 256 * MIB
    room = image.usage(rig.places, "test")
    assert room is not None
    assert room.size == 256 * MIB
    assert room.used > 200 * MIB
    assert sh(rig, "rm /big; touch /again")[0] == 0


def test_an_image_takes_what_is_in_it_and_gives_it_back(rig: Rig) -> None:
    make(rig, disk=1 << 40)
    image = rig.places.data / "containers/test/disk.img"
    assert image.stat().st_blocks * 512 < 64 * MIB  # sparse
    start(rig)
    sh(rig, "dd if=/dev/urandom of=/big bs=1M count=40")
    control.stop(rig.places, "test")
    full = image.stat().st_blocks * 512
    start(rig)
    sh(rig, "rm /big")
    control.stop(rig.places, "test")
    assert full - image.stat().st_blocks * 512 > 30 * MIB


def test_files_stay_and_belong_to_whom_they_did(rig: Rig) -> None:
    make(rig, disk=256 * MIB)
    start(rig)
    sh(rig, "echo hello >/mine; chown 1000:50 /mine; ln /mine /other; rm /etc/group")
    control.stop(rig.places, "test")
    with writable.opened(rig.places, load(rig.places, "test")) as folder:
        status = (folder / "upper/mine").stat()
        assert (status.st_uid, status.st_gid, status.st_nlink) == (1000, 50, 2)
    start(rig)
    assert sh(rig, "cat /other; test -e /etc/group || echo gone")[1] == "hello\ngone\n"


def test_a_running_container_gets_more_and_less(rig: Rig) -> None:
    make(rig, disk=256 * MIB)
    start(rig)
    resize(rig, disk=400 * MIB)
    assert size(rig) == 400
    assert sh(rig, "dd if=/dev/zero of=/big bs=1M count=300")[0] == 0
    with pytest.raises(ConflictError, match="does not fit into 256 MiB"):
        resize(rig, disk=256 * MIB)
    assert size(rig) == 400
    sh(rig, "rm /big")
    resize(rig, disk=300 * MIB)
    assert size(rig) == 300
    control.stop(rig.places, "test")
    resize(rig, disk=500 * MIB)
    start(rig)
    assert size(rig) == 500


def test_one_without_a_limit_gets_one_while_it_is_stopped(rig: Rig) -> None:
    make(rig)
    start(rig)
    sh(rig, "echo hello >/mine; chown 7:8 /mine; ln /mine /other; rm /etc/group")
    with pytest.raises(ConflictError, match="only while it is stopped"):
        resize(rig, disk=256 * MIB)
    control.stop(rig.places, "test")
    resize(rig, disk=256 * MIB)
    assert not (folder_of(rig.places, "test") / "upper").exists()
    start(rig)
    assert size(rig) == 256
    assert sh(rig, "stat -c %u:%g:%h /mine; test -e /etc/group || echo gone")[1] == "7:8:2\ngone\n"
    with pytest.raises(ConflictError, match="cannot be taken away"):
        resize(rig)


def test_what_does_not_fit_stays_where_it_is(rig: Rig) -> None:
    make(rig)
    start(rig)
    sh(rig, "dd if=/dev/zero of=/big bs=1M count=300")
    control.stop(rig.places, "test")
    with pytest.raises(ConflictError, match="does not fit into 256 MiB"):
        resize(rig, disk=256 * MIB)
    assert writable.image_of(rig.places, "test") is None
    start(rig)
    assert sh(rig, "stat -c %s /big")[1] == f"{300 * MIB}\n"


INTERRUPTED = """
from builder.host.trees import images
from builder.runtime.record.container import load
from builder.runtime.storage import writable
real = images.mount
def cut(path, target):
    real(path, target)
    raise KeyboardInterrupt
images.mount = cut
try:
    with writable.opened(places, load(places, "test")):
        print("opened")
except KeyboardInterrupt:
    print("interrupted", list((places.runtime / "open").iterdir()))
"""


def test_ctrl_c_just_as_an_image_is_mounted_leaves_nothing(rig: Rig) -> None:
    make(rig, disk=256 * MIB)
    out, err = rig.call(INTERRUPTED).communicate(timeout=60)
    assert out == b"interrupted []\n", err


def test_the_number_of_files_is_limited(rig: Rig) -> None:
    make(rig, disk=256 * MIB, inodes=2048)
    start(rig)
    assert sh(rig, "df --output=itotal / | tail -1")[1].strip() == "2048"
    code, said = sh(rig, "i=0; while [ $i -lt 3000 ]; do : >/f$i || exit 3; i=$((i+1)); done")
    assert code != 0
    assert "No space left on device" in said or "annot create" in said
    control.stop(rig.places, "test")
    start(rig)  # of what was laid by for that
    control.stop(rig.places, "test")
    resize(rig, disk=400 * MIB, inodes=2048)
    start(rig)
    assert size(rig) > 300
    sh(rig, "rm /f*")
    control.stop(rig.places, "test")
    resize(rig, disk=256 * MIB, inodes=2048)
    start(rig)
    assert size(rig) < 260


def test_a_disk_gets_room_for_more_files(rig: Rig) -> None:
    oven = Oven(rig.places.data)
    make(rig, disk=256 * MIB, inodes=2048)
    start(rig)
    sh(rig, "echo hello >/mine; chown 7:8 /mine; ln /mine /other; rm /etc/group")
    assert "only while the container is stopped" in oven.said(
        "set", "test", "--inodes", "4096", code=7
    )
    oven("stop", "test")
    oven("set", "test", "--inodes", "4096")
    start(rig)
    assert sh(rig, "df --output=itotal / | tail -1")[1].strip() == "4096"
    assert sh(rig, "stat -c %u:%g:%h /mine; test -e /etc/group || echo gone")[1] == "7:8:2\ngone\n"
    oven("stop", "test")
    for fewer in ("2048", "none"):
        said = oven.said("set", "test", "--inodes", fewer, code=7)
        assert "cannot be made one for fewer" in said
    oven("set", "test", "--disk", "300M", "--inodes", "8192")
    start(rig)
    assert size(rig) > 256
    assert sh(rig, "cat /other")[1] == "hello\n"


def test_one_of_btrfs_gets_a_limit_of_files_too(rig: Rig) -> None:
    oven = Oven(rig.places.data)
    make(rig, disk=256 * MIB)
    start(rig)
    sh(rig, "echo hello >/mine")
    oven("stop", "test")
    oven("set", "test", "--inodes", "4096")
    start(rig)
    assert sh(rig, "cat /mine")[1] == "hello\n"
    assert sh(rig, "df --output=itotal / | tail -1")[1].strip() == "4096"


@pytest.mark.exhaustive
@pytest.mark.parametrize("step", range(1, 16, 2))
def test_death_while_files_get_more_room_loses_nothing(rig: Rig, step: int) -> None:
    make(rig, disk=256 * MIB, inodes=2048)
    start(rig)
    sh(rig, "echo hello >/mine")
    control.stop(rig.places, "test")
    steps = STEPS.replace("disk=256 << 20", "disk=256 << 20, inodes=4096")
    process = rig.call(steps.format(step=step))
    process.communicate(timeout=60)
    assert process.returncode < 0 or step > 7
    start(rig)
    assert sh(rig, "cat /mine")[1] == "hello\n"
    control.stop(rig.places, "test")
    Oven(rig.places.data)("set", "test", "--inodes", "4096")
    start(rig)
    assert sh(rig, "cat /mine; df --output=itotal / | tail -1")[1].split() == ["hello", "4096"]
    assert sorted(path.name for path in folder_of(rig.places, "test").glob("*.img*")) == [
        "disk.img"
    ]


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        ({"disk": 16 * MIB}, "too small"),
        ({"inodes": 5000}, "together with the size"),
    ],
)
def test_limits_that_make_no_sense_are_refused(rig: Rig, limits: dict[str, int], says: str) -> None:
    with pytest.raises(ConflictError, match=says):
        make(rig, **limits)
    assert all_names(rig.places) == []


def test_a_damaged_image_is_told_and_nothing_is_left(rig: Rig) -> None:
    make(rig, disk=256 * MIB)
    image = rig.places.data / "containers/test/disk.img"
    whole = image.read_bytes()
    image.write_bytes(bytes(1 << 17) + whole[1 << 17 :])
    with pytest.raises(HostError, match="damaged"):
        start(rig)
    image.write_bytes(whole)
    start(rig)


STEPS = """
import os, signal
from builder.host.trees import images
from builder.host import programs
from builder.runtime.storage import image
from builder.runtime.record.container import Limits, load
left = {step}
def dying(call):
    def wrapped(*args, **kwargs):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*args, **kwargs)
    return wrapped
for module in (images, image):
    module.on_host = dying(module.on_host)
for name in ("rename", "unlink", "mkdir", "truncate"):
    setattr(os, name, dying(getattr(os, name)))
image.resize(places, load(places, "test"), Limits(disk=256 << 20))
"""


@pytest.mark.exhaustive
@pytest.mark.parametrize("step", range(1, 12))
def test_death_while_a_limit_is_given_loses_nothing(rig: Rig, step: int) -> None:
    make(rig)
    start(rig)
    sh(rig, "echo hello >/mine")
    control.stop(rig.places, "test")
    process = rig.call(STEPS.format(step=step))
    process.communicate(timeout=60)
    if process.returncode == 0:
        assert step > 5, "there are fewer steps than it seems"
    start(rig)
    assert sh(rig, "cat /mine")[1] == "hello\n"
    control.stop(rig.places, "test")
    resize(rig, disk=300 * MIB)
    start(rig)
    assert sh(rig, "cat /mine")[1] == "hello\n"
    assert size(rig) == 300


def test_a_full_disk_of_the_host_leaves_no_half_container(tmp_path: Path, tree: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "oven-test", small], check=True)
    try:
        with rig_in(small / "home", tree) as rig:
            with pytest.raises(HostError):
                make(rig, disk=256 * MIB)
            assert all_names(rig.places) == []
    finally:
        subprocess.run(["umount", small], check=True)


def test_ext4_is_taken_where_btrfs_is_not_there(tmp_path: Path) -> None:
    assert images.kind_for(files=False) == "btrfs"
    assert images.kind_for(files=True) == "ext4"
    images.make(tmp_path / "image", 256 * MIB, 2048)
    assert images.kind_of(tmp_path / "image") == "ext4"
