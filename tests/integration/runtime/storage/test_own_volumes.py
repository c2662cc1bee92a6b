"""Volumes of an instance: made with it, filled from its template, and kept when it is gone."""

import os
import signal
import stat
from pathlib import Path

import msgspec
import pytest

from builder.model.errors import ConflictError, HostError, NotFoundError, RecipeError
from builder.model.interface import Interface
from builder.model.progress import Silent
from builder.model.volume import VolumeSpec
from builder.runtime.access.exec import capture
from builder.runtime.lifecycle import control, create, keeping
from builder.runtime.record.container import Bind, Container, load
from builder.runtime.storage import own_volumes, volumes
from tests.support.containers.rig import Rig, tiny_tree
from tests.support.containers.templates import describe
from tests.support.needs import needs
from tests.support.oven import Oven, text

pytestmark = needs("root", "program:runc", "program:conmon")

NOTES = VolumeSpec(name="notes", path="/var/lib/notes", owner="ann", group="staff", mode="2750")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree with something at the place of the volume."""
    tree = tiny_tree(tmp_path / "rootfs")
    notes = tree / "var/lib/notes"
    (notes / "deep").mkdir(parents=True)
    (notes / "deep/first").write_text("first\n")
    os.chown(notes / "deep/first", 1000, 50)
    (notes / "deep/first").chmod(0o640)
    os.setxattr(notes / "deep/first", "user.kind", b"note")
    (notes / "link").symlink_to("/etc/passwd")
    return tree


def make(rig: Rig, *keeps: VolumeSpec, name: str = "test", binds: tuple[Bind, ...] = ()) -> None:
    container = msgspec.structs.replace(rig.container(name), binds=binds)
    create.create(rig.places, container, keeps=keeps or (NOTES,))


def data(rig: Rig, name: str = "test.notes") -> Path:
    return rig.places.data / "volumes" / name / "data"


def sh(rig: Rig, script: str, name: str = "test") -> str:
    code, said = capture(rig.places, name, ("sh", "-c", script))
    assert code == 0, said
    return said


def test_a_volume_begins_as_the_template_s_folder(rig: Rig) -> None:
    make(rig)
    control.start(rig.places, "test", Silent())
    look = "cd /var/lib/notes; stat -c %u:%g:%a . deep/first; cat deep/first; readlink link"
    assert sh(rig, look).split() == ["1000:50:2750", "1000:50:640", "first", "/etc/passwd"]
    assert os.getxattr(data(rig) / "deep/first", "user.kind") == b"note"
    assert sh(rig, "echo mine >/var/lib/notes/mine; chown 1000:50 /var/lib/notes/mine") == ""
    status = (data(rig) / "mine").stat()
    assert (status.st_uid, status.st_gid) == (1000, 50)


def test_where_the_template_has_nothing_it_begins_empty(rig: Rig) -> None:
    make(rig, msgspec.structs.replace(NOTES, path="/srv/of/notes/", group=None, mode="0700"))
    control.start(rig.places, "test", Silent())
    assert sh(rig, "stat -c %u:%g:%a /srv/of/notes; ls /srv/of/notes") == "1000:1000:700\n"


def test_data_outlives_the_container_and_is_taken_again(rig: Rig) -> None:
    make(rig)
    (data(rig) / "deep/first").write_text("changed\n")
    control.destroy(rig.places, "test")
    make(rig)
    control.start(rig.places, "test", Silent())
    assert sh(rig, "cat /var/lib/notes/deep/first") == "changed\n"
    assert [one.source for one in load(rig.places, "test").binds] == ["test.notes"]


def test_what_a_person_shows_there_wins(rig: Rig, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    make(rig, binds=(Bind(source=str(mine), target="/var/lib/notes/"),))
    assert [one.source for one in load(rig.places, "test").binds] == [str(mine)]
    make(rig, name="other", binds=(volumes.parse("pool:/var/lib/notes", volume=True),))
    assert [one.name for one in volumes.every(rig.places)] == ["pool"]


def test_a_newer_form_of_the_data_is_refused(rig: Rig) -> None:
    make(rig, msgspec.structs.replace(NOTES, schema=3))
    control.destroy(rig.places, "test")
    with pytest.raises(ConflictError, match=r"has the form 3, .* forms up to 2") as caught:
        make(rig, msgspec.structs.replace(NOTES, schema=2))
    assert "newer template" in str(caught.value.hint)
    make(rig, msgspec.structs.replace(NOTES, schema=4))


def test_data_is_not_given_to_somebody_else(rig: Rig, tree: Path) -> None:
    make(rig)
    control.destroy(rig.places, "test")
    (tree / "etc/passwd").write_text("root:x:0:0::/:/bin/sh\nann:x:1001:1000::/:/bin/sh\n")
    with pytest.raises(ConflictError, match=r"the user 1000, .* the user `ann` is 1001") as caught:
        make(rig)
    assert "uid = 1000" in str(caught.value.hint)
    with pytest.raises(NotFoundError):
        load(rig.places, "test")


def test_an_owner_that_the_template_lacks_is_named(rig: Rig) -> None:
    for key, said in (("owner", "the user `bob`"), ("group", "the group `bob`")):
        with pytest.raises(RecipeError, match=said):
            make(rig, msgspec.structs.replace(NOTES, **{key: "bob"}))
    assert volumes.every(rig.places) == ()


def test_a_volume_that_another_uses_is_not_taken(rig: Rig) -> None:
    make(rig)
    make(rig, name="other", binds=(volumes.parse("test.notes:/var/lib/notes", volume=True),))
    control.destroy(rig.places, "test")
    with pytest.raises(ConflictError, match="is used by `other`"):
        make(rig)
    with pytest.raises(NotFoundError, match=r"no volume `nobody\.notes`"):
        make(rig, name="third", binds=(volumes.parse("nobody.notes:/srv", volume=True),))


def test_a_container_called_old_keeps_its_data(rig: Rig) -> None:
    make(rig, name="old")
    make(rig, name="test")
    control.destroy(rig.places, "old")
    control.destroy(rig.places, "test")
    volumes.remove(rig.places, "test.notes")
    assert [one.name for one in volumes.every(rig.places)] == ["old.notes"]


@pytest.mark.parametrize("depth", ["var", "var/lib", "var/lib/notes"])
@pytest.mark.parametrize("kind", ["link", "out", "file", "fifo"])
def test_a_hostile_place_in_a_template_leads_nowhere(
    rig: Rig, tree: Path, depth: str, kind: str, tmp_path: Path
) -> None:
    victim = tmp_path / "victim/lib/notes"
    victim.mkdir(parents=True)
    (victim / "secret").write_text("secret")
    place = tree / depth
    place.rename(tmp_path / "away")
    if kind == "link":
        place.symlink_to("/etc")
    elif kind == "out":
        place.symlink_to(tmp_path / "victim")
    elif kind == "file":
        place.write_text("x")
    else:
        os.mkfifo(place)
    with pytest.raises(RecipeError, match=f"`/{depth}` is (a link|no folder) in the template"):
        make(rig)
    assert list((rig.places.data / "volumes").glob("*")) == [rig.places.data / "volumes/.lock"]
    assert sorted(tree.glob("etc/*")) == [tree / "etc/group", tree / "etc/passwd"]


@pytest.mark.parametrize("path", ["/etc", "/proc/x", "/var/../etc", "/", "/usr/bin"])
def test_a_hostile_manifest_is_refused(rig: Rig, path: str) -> None:
    with pytest.raises(RecipeError, match="no volume can be at"):
        make(rig, msgspec.structs.replace(NOTES, path=path))
    with pytest.raises(RecipeError, match="are not apart"):
        make(rig, NOTES, msgspec.structs.replace(NOTES, name="b", path="/var/lib"))


def test_devices_and_links_are_no_way_out(rig: Rig, tree: Path, tmp_path: Path) -> None:
    notes, victim = tree / "var/lib/notes", tmp_path / "victim"
    victim.mkdir(mode=0o711)
    (victim / "secret").write_text("secret")
    os.mknod(notes / "deep/disk", stat.S_IFBLK | 0o666, os.makedev(7, 0))
    os.mknod(notes / "zero", stat.S_IFCHR | 0o666, os.makedev(1, 5))
    (notes / "out").symlink_to(victim)
    make(rig)
    assert sorted(one.name for one in data(rig).rglob("*")) == ["deep", "first", "link", "out"]
    assert (data(rig) / "out").readlink() == victim, "as it is, and not followed"
    assert (victim / "secret").stat().st_uid == 0
    assert victim.stat().st_mode & 0o777 == 0o711


KILLED = """
import os
from builder.model.volume import VolumeSpec
from builder.runtime.lifecycle import create
from builder.runtime.record.container import new_container
{fault}
spec = VolumeSpec(name="notes", path="/var/lib/notes", owner="ann", group="staff", mode="2750")
create.create(places, new_container("test", "sha256:" + "ab" * 32, "tiny"), keeps=(spec,))
"""
FAULTS = {
    "half filled": "from builder.runtime.storage import own_volumes\n"
    "own_volumes._finish = lambda *_: os.abort()",
    "filled": "from builder.runtime.storage.own_volumes import Draft\n"
    "Draft.keep = lambda _: os.abort()",
    "named": "from builder.runtime.storage.own_volumes import Draft\n"
    "keep = Draft.keep\nDraft.keep = lambda one: (keep(one), os.abort())",
}


@pytest.mark.parametrize("moment", FAULTS)
def test_who_is_killed_leaves_no_half_volume(rig: Rig, moment: str) -> None:
    code = KILLED.replace("{fault}", FAULTS[moment])
    process = rig.call(code)
    _, said = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGABRT, said.decode()
    there = [one.name for one in volumes.every(rig.places)]
    assert there == (["test.notes"] if moment == "named" else [])
    make(rig)
    assert (data(rig) / "deep/first").read_text() == "first\n"
    left = sorted(one.name for one in (rig.places.data / "volumes").iterdir())
    assert left == [".lock", "test.notes"]


def test_a_damaged_record_is_told(rig: Rig, oven: Oven) -> None:
    make(rig)
    control.destroy(rig.places, "test")
    (data(rig).parent / own_volumes.RECORD).write_text("{")
    with pytest.raises(HostError, match=r"the record of the volume `test\.notes` is damaged"):
        make(rig)
    assert "test.notes" in text(oven("volume", "list").stdout)


def created(rig: Rig, oven: Oven) -> Container:
    """Make an instance by the command."""
    describe(rig, interface=Interface(volumes=(NOTES,)))
    oven("create", "test", "abab", "--network", "none")
    return load(rig.places, "test")


def test_destroy_tells_where_the_data_stays(rig: Rig, oven: Oven) -> None:
    created(rig, oven)
    assert "test.notes at /var/lib/notes" in text(oven("show", "test").stdout)
    assert text(oven("volume", "list").stdout).split("\n")[1].split() == [
        "test.notes", "test", "(tiny)", "test",
    ]  # fmt: skip
    told = oven.said("destroy", "test")
    assert "kept: `test.notes`" in told
    assert "`oven volume rm test.notes` removes it" in told
    assert (data(rig) / "deep/first").exists()
    created(rig, oven)
    assert "removed the volume `test.notes`" in oven.said("destroy", "--volumes", "test")
    assert volumes.every(rig.places) == ()


def test_destroy_leaves_what_others_use(rig: Rig, oven: Oven) -> None:
    created(rig, oven)
    oven("create", "other", "abab", "--network", "none", "--volume", "test.notes:/var/lib/notes")
    assert "stays: another container uses it" in oven.said("destroy", "--volumes", "test")
    assert data(rig).exists()


def test_set_none_leaves_an_instance_its_own(rig: Rig, oven: Oven) -> None:
    created(rig, oven)
    oven("set", "test", "--volume", "pool:/srv/pool")
    oven("set", "test", "--volume", "none")
    assert [one.source for one in load(rig.places, "test").binds] == ["test.notes"]


def test_a_run_that_fails_leaves_no_volume(rig: Rig, oven: Oven) -> None:
    created(rig, oven)
    oven("destroy", "test")
    describe(
        rig,
        interface=Interface(
            volumes=(NOTES, msgspec.structs.replace(NOTES, name="more", path="/srv/more"))
        ),
    )
    oven(
        "run", "abab", "--name", "test", "--network", "none", "--bind", "/etc/hostname:/etc", code=3
    )
    assert [one.name for one in volumes.every(rig.places)] == ["test.notes"]


@pytest.mark.parametrize("runs", [False, True])
def test_a_clone_has_a_copy_of_the_data(rig: Rig, oven: Oven, runs: bool) -> None:
    made = created(rig, oven)
    (data(rig) / "deep/first").write_text("mine\n")
    if runs:
        control.start(rig.places, "test", Silent())
        sh(rig, "mkfifo /var/lib/notes/fifo; touch /var/lib/notes/late")
    oven("clone", "test", "copy")
    assert (data(rig, "copy.notes") / "late").exists() is runs
    assert [one.source for one in load(rig.places, "copy").binds] == ["copy.notes"]
    assert load(rig.places, "test").binds == made.binds
    (data(rig) / "deep/first").write_text("other\n")
    assert (data(rig, "copy.notes") / "deep/first").read_text() == "mine\n"
    assert (data(rig, "copy.notes") / "link").readlink() == Path("/etc/passwd")
    status = data(rig, "copy.notes").stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (1000, 50, 0o2750)
    control.destroy(rig.places, "copy")
    assert "there is a volume `copy.notes` already" in oven.said("clone", "test", "copy", code=7)


def test_data_that_another_one_changes_is_not_copied(rig: Rig, oven: Oven) -> None:
    created(rig, oven)
    shared = Bind(source="test.notes", target="/n")
    other = msgspec.structs.replace(rig.container("other"), binds=(shared,))
    create.create(rig.places, other)
    control.start(rig.places, "other", Silent())
    assert "cannot be copied while `other` runs" in oven.said("clone", "test", "copy", code=7)
    control.destroy(rig.places, "other", force=True)


def test_a_renamed_instance_keeps_its_data(rig: Rig, oven: Oven) -> None:
    created(rig, oven)
    oven("rename", "test", "new")
    control.start(rig.places, "new", Silent())
    assert sh(rig, "cat /var/lib/notes/deep/first", "new") == "first\n"
    told = oven.said("create", "test", "abab", "--network", "none", code=7)
    assert "the volume `test.notes` is used by `new`" in told


def test_a_template_with_other_owners_or_older_forms_is_refused(rig: Rig, tree: Path) -> None:
    make(rig, msgspec.structs.replace(NOTES, schema=2))
    container = load(rig.places, "test")
    newer = msgspec.structs.replace(NOTES, schema=3)
    keeping.refuse_template(rig.places, container, tree, (newer,))
    keeping.refuse_template(rig.places, container, tree, ())
    with pytest.raises(ConflictError, match=r"has the form 2, .* forms up to 1"):
        keeping.refuse_template(rig.places, container, tree, (NOTES,))
    (tree / "etc/passwd").write_text("root:x:0:0::/:/bin/sh\nann:x:1001:1000::/:/bin/sh\n")
    with pytest.raises(ConflictError, match=r"the user 1000, .* `ann` is 1001"):
        keeping.refuse_template(rig.places, container, tree, (newer,))
