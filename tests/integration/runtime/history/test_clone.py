"""Clones and new names of real containers."""

import os
import signal
import stat
from pathlib import Path

import pytest

from builder.distros.identity import forget_identity
from builder.host.kernel import cgroups
from builder.model.errors import ConflictError, NotFoundError
from builder.model.progress import Silent
from builder.runtime.access.exec import capture
from builder.runtime.history import clone, snapshots
from builder.runtime.lifecycle import control, create
from builder.runtime.network.addresses import mac_of
from builder.runtime.record import ids
from builder.runtime.record.container import Container, all_names, load
from builder.runtime.record.layout import cgroup_of
from tests.support.containers.rig import Rig
from tests.support.faults.steps import at_each_step
from tests.support.needs import needs

pytestmark = needs("root", "program:runc", "program:conmon")


@pytest.fixture(scope="module")
def tree(tree: Path) -> Path:
    (tree / "etc/ssh").mkdir()
    (tree / "usr/bin/ssh-keygen").write_text("")
    return tree


@pytest.fixture
def rig(rig: Rig) -> Rig:
    create.create(rig.places, rig.container())
    return rig


def folder(rig: Rig, name: str = "test") -> Path:
    return rig.places.data / "containers" / name


def copy(rig: Rig, new: str = "new", snapshot: str | None = None) -> Container:
    wanted = clone.CloneRequest(new, snapshot=snapshot)
    return clone.clone(rig.places, "test", wanted, forget_identity)


def give_identity(rig: Rig) -> None:
    etc = folder(rig) / "upper/etc"
    (etc / "ssh").mkdir(parents=True)
    for name in ("ssh_host_ed25519_key", "ssh_host_rsa_key"):
        (etc / "ssh" / name).write_text("secret")
    (etc / "machine-id").write_text("1" * 32 + "\n")
    (etc / "hostname").write_text("test\n")
    (etc / "kept").write_text("kept\n")


def test_a_clone_is_somebody_else(rig: Rig) -> None:
    give_identity(rig)
    made, source = copy(rig), load(rig.places, "test")
    assert made.uuid != source.uuid
    assert made.first_id != source.first_id
    keys = {cgroup_of(rig.places, name) for name in ("test", "new")}
    assert len({mac_of(key) for key in keys}) == 2
    control.start(rig.places, "new", Silent())
    files = "cat /etc/kept /etc/machine-id /etc/hostname; ls /etc/ssh"
    assert capture(rig.places, "new", ("sh", "-c", files))[1] == "kept\nnew\n"
    unit = "/usr/lib/systemd/system/sysinit.target.wants/oven-ssh-host-keys.service"
    said = capture(rig.places, "new", ("cat", unit))[1]
    assert "ExecStart=/usr/bin/ssh-keygen -A" in said
    assert (folder(rig) / "upper/etc/ssh/ssh_host_rsa_key").read_text() == "secret"


def test_frozen_files_are_shared_and_others_are_not(rig: Rig) -> None:
    (folder(rig) / "upper/frozen").write_text("1")
    snapshots.create(rig.places, "test", "one")
    (folder(rig) / "upper/changing").write_text("2")
    made = copy(rig)
    (layer,) = made.layers
    frozen = [folder(rig, name) / "layers" / layer / "frozen" for name in ("test", "new")]
    assert frozen[0].stat().st_ino == frozen[1].stat().st_ino
    changing = [folder(rig, name) / "upper/changing" for name in ("test", "new")]
    assert changing[0].stat().st_ino != changing[1].stat().st_ino
    control.destroy(rig.places, "test")
    assert frozen[1].read_text() == "1"


def test_a_clone_of_a_snapshot_and_of_a_running_one(rig: Rig) -> None:
    (folder(rig) / "upper/a").write_text("1\n")
    snapshots.create(rig.places, "test", "one")
    control.start(rig.places, "test", Silent())
    capture(rig.places, "test", ("sh", "-c", "echo 2 > /a"))
    copy(rig, "then", "one")
    copy(rig, "now")
    assert not cgroups.is_frozen(cgroup_of(rig.places, "test"))
    for name, text in (("then", "1\n"), ("now", "2\n")):
        control.start(rig.places, name, Silent())
        assert capture(rig.places, name, ("cat", "/a"))[1] == text


def test_refusals(rig: Rig) -> None:
    with pytest.raises(ConflictError, match="there is a container `test` already"):
        copy(rig, "test")
    with pytest.raises(NotFoundError, match="has no snapshot"):
        copy(rig, "new", "none")
    assert all_names(rig.places) == ["test"]


def test_whiteouts_owners_and_attributes_are_copied(rig: Rig) -> None:
    upper = folder(rig) / "upper"
    os.mknod(upper / "tmp", stat.S_IFCHR)
    (upper / "etc").mkdir()
    os.setxattr(upper / "etc", "trusted.overlay.opaque", b"y")
    (upper / "file").write_text("x")
    os.chown(upper / "file", 1000, 50)
    (upper / "file").chmod(0o4755)
    os.setxattr(upper / "file", "user.note", b"n")
    os.link(upper / "file", upper / "other")
    copy(rig)
    made = folder(rig, "new") / "upper"
    assert stat.S_ISCHR((made / "tmp").lstat().st_mode)
    assert os.getxattr(made / "etc", "trusted.overlay.opaque") == b"y"
    status = (made / "file").stat()
    assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (0o4755, 1000, 50)
    assert os.getxattr(made / "file", "user.note") == b"n"
    assert (made / "other").stat().st_ino == status.st_ino


def test_a_new_name(rig: Rig) -> None:
    control.start(rig.places, "test", Silent())
    with pytest.raises(ConflictError, match="is running"):
        clone.rename(rig.places, "test", "new")
    control.stop(rig.places, "test", timeout=20)
    snapshots.create(rig.places, "test", "one")
    clone.rename(rig.places, "test", "new")
    assert all_names(rig.places) == ["new"]
    assert load(rig.places, "new").hostname == "new"
    control.start(rig.places, "new", Silent())
    assert capture(rig.places, "new", ("cat", "/etc/hostname"))[1] == "new\n"
    assert list(snapshots.listed(rig.places, "new")) == ["one"]
    # What it was known by stays: its addresses, and its range of ids under the new name alone.
    made = load(rig.places, "new")
    assert made.address_key == str(folder(rig, "test"))
    assert (ids.CLAIMS / str(made.first_id)).read_text() == str(folder(rig, "new"))
    other = clone.clone(rig.places, "new", clone.CloneRequest("other"), forget_identity)
    assert other.address_key == ""


@pytest.mark.exhaustive
@pytest.mark.parametrize("verb", ["clone", "rename"])
def test_death_at_any_step_leaves_old_or_new(rig: Rig, verb: str) -> None:
    give_identity(rig)
    snapshots.create(rig.places, "test", "one")
    (folder(rig) / "upper/later").write_text("later")
    work = "clone.rename(places, 'test', 'new')"
    if verb == "clone":
        work = "clone.clone(places, 'test', clone.CloneRequest('new'), forget_identity)"
    code = f"""
from builder.runtime.history import clone
from builder.distros.identity import forget_identity
{at_each_step(work, 0, signal.SIGKILL)}"""
    came, died = False, 0
    for step in range(1, 90, 2):
        process = rig.call(code.replace("left = 0", f"left = {step}"))
        out, err = process.communicate(timeout=60)
        came = b"came through" in out
        died += not came
        assert came or process.returncode != 0, err
        begin_again(rig, verb)
        if came:
            break
    assert came
    assert died > 5


def begin_again(rig: Rig, verb: str) -> None:
    """See that one or the other is true, and go back to where the verb begins."""
    if verb == "clone":
        if "new" in all_names(rig.places):
            control.destroy(rig.places, "new")
        else:
            control.stop(rig.places, "test")
        assert all_names(rig.places) == ["test"]
        assert rig.leftovers() == []
        return
    (name,) = all_names(rig.places)
    control.stop(rig.places, name)
    record = load(rig.places, name)
    assert (record.name, record.hostname) == (name, name)
    assert (folder(rig, name) / "upper/later").exists()
    assert not (folder(rig, name) / "change.json").exists()
    if name == "new":
        clone.rename(rig.places, "new", "test")
