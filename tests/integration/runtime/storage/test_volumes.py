"""Folders of the host inside containers: owners, modes, hostile targets, and volumes."""

import os
from pathlib import Path

import msgspec
import pytest

from builder.cli.containers.options import describe
from builder.model.errors import ConflictError, HostError, NotFoundError, RecipeError
from builder.model.progress import Silent
from builder.runtime.access.exec import capture
from builder.runtime.lifecycle import control, create, update
from builder.runtime.record.container import Bind, Container, load
from builder.runtime.storage import volumes
from tests.support.containers.rig import Rig
from tests.support.needs import needs

pytestmark = needs("root", "program:runc", "program:conmon")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "shared"
    made.mkdir()
    (made / "hello").write_text("hello\n")
    os.chown(made / "hello", 1000, 50)
    made.chmod(0o777)
    return made


def make(rig: Rig, *binds: Bind, name: str = "test") -> Container:
    container = msgspec.structs.replace(rig.container(name), binds=binds)
    return create.create(rig.places, container)


def start(rig: Rig, *binds: Bind) -> None:
    make(rig, *binds)
    control.start(rig.places, "test", Silent())


def sh(rig: Rig, script: str, name: str = "test") -> tuple[int, str]:
    return capture(rig.places, name, ("sh", "-c", script))


def test_owners_are_the_same_on_both_sides(rig: Rig, folder: Path) -> None:
    start(rig, Bind(source=str(folder), target="/srv/data"))
    assert sh(rig, "stat -c %u:%g /srv/data/hello")[1] == "1000:50\n"
    assert sh(rig, "echo new >/srv/data/new; chown 33:33 /srv/data/new")[0] == 0
    status = (folder / "new").stat()
    assert (status.st_uid, status.st_gid) == (33, 33)
    control.stop(rig.places, "test")
    assert (folder / "new").read_text() == "new\n"


def test_what_is_bound_is_no_part_of_the_container(rig: Rig, folder: Path) -> None:
    start(rig, Bind(source=str(folder), target="/srv/data"))
    sh(rig, "echo x >/srv/data/x")
    upper = rig.places.data / "containers/test/upper/srv/data"
    assert list(upper.iterdir()) == []
    control.destroy(rig.places, "test", force=True)
    assert sorted(path.name for path in folder.iterdir()) == ["hello", "x"]


def test_read_only_files_and_nested_folders(rig: Rig, folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (folder / "deep").mkdir()
    start(
        rig,
        Bind(source=str(other), target="/srv/data/deep"),
        Bind(source=str(folder), target="/srv/data", read_only=True),
        Bind(source=str(folder / "hello"), target="/etc/hello", read_only=True),
    )
    assert "Read-only file system" in sh(rig, "touch /srv/data/x")[1]
    assert sh(rig, "cat /etc/hello")[1] == "hello\n"
    assert sh(rig, "touch /srv/data/deep/x")[0] == 0
    assert (other / "x").exists()


def test_set_id_bits_and_devices_do_nothing(rig: Rig, folder: Path) -> None:
    start(rig, Bind(source=str(folder), target="/srv/data"))
    options = [line for line in sh(rig, "cat /proc/mounts")[1].splitlines() if "/srv/data" in line]
    assert len(options) == 1
    assert {"nosuid", "nodev"} <= set(options[0].split()[3].split(","))


def test_a_link_inside_does_not_lead_out(rig: Rig, folder: Path, tmp_path: Path) -> None:
    """CVE-2021-30465: the target of a mount is a link that leads to the host."""
    make(rig, Bind(source=str(folder), target="/srv/data"))
    upper = rig.places.data / "containers/test/upper"
    victim = tmp_path / "victim"
    victim.mkdir()
    (upper / "srv").symlink_to(victim)
    with pytest.raises(HostError, match="cannot be made inside"):
        control.start(rig.places, "test", Silent())
    (upper / "srv").unlink()
    (upper / "srv").mkdir()
    (upper / "srv/data").symlink_to("/tmp")
    control.start(rig.places, "test", Silent())
    assert sh(rig, "cat /tmp/hello")[1] == "hello\n", "the link is followed inside"
    assert list(victim.iterdir()) == []


def test_a_source_that_is_gone_is_named(rig: Rig, folder: Path) -> None:
    make(rig, Bind(source=str(folder), target="/srv/data"))
    (folder / "hello").unlink()
    folder.rmdir()
    with pytest.raises(HostError, match="No such file") as caught:
        control.start(rig.places, "test", Silent())
    assert str(folder) in caught.value.problem


@pytest.mark.parametrize("source", ["/", "/proc", "/sys/fs/cgroup", "/dev", "/var/../dev"])
def test_what_gives_the_host_away_is_refused(rig: Rig, source: str) -> None:
    with pytest.raises(RecipeError, match="cannot be shown"):
        make(rig, Bind(source=source, target="/srv"))


def test_what_oven_keeps_is_refused(rig: Rig, tmp_path: Path) -> None:
    for source in (rig.places.data, rig.places.data / "templates", tmp_path):
        with pytest.raises(RecipeError, match="keeps all containers there"):
            make(rig, Bind(source=str(source), target="/srv"))


@pytest.mark.parametrize("target", ["/", "srv", "/srv/../etc", "/proc/x", "/run/x", "/a//b", "/."])
def test_odd_targets_are_refused(rig: Rig, folder: Path, target: str) -> None:
    with pytest.raises(RecipeError, match="inside"):
        make(rig, Bind(source=str(folder), target=target))


@pytest.mark.parametrize("text", ["/srv", "srv:/x", "/srv:/x:rx", ":/x", "/srv:"])
def test_what_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(RecipeError):
        volumes.parse(text, volume=False)


def test_others_can_be_shown_later(rig: Rig, folder: Path) -> None:
    def set_to(**given: tuple[str, ...]) -> tuple[str, ...]:
        done = update.change(rig.places, "test", lambda one: describe(one, given))
        return done.at_start

    make(rig, volumes.parse("pool:/srv/pool", volume=True))
    assert set_to(bind=(f"{folder}:/srv/data", "/etc:/srv/etc:ro")) == ()
    control.start(rig.places, "test", Silent())
    assert sh(rig, "cat /srv/data/hello; test -d /srv/pool")[1] == "hello\n"
    assert set_to(bind=(f"{folder}:/srv/etc",), volume=("none", "other:/srv/data")) == ("binds",)
    shown = [(one.source, one.target) for one in load(rig.places, "test").binds]
    assert shown == [(str(folder), "/srv/etc"), ("other", "/srv/data")]
    assert [volume.name for volume in volumes.every(rig.places)] == ["other", "pool"]
    with pytest.raises(RecipeError, match="cannot be shown"):
        set_to(bind=("/proc:/srv/data",))
    control.stop(rig.places, "test")
    control.start(rig.places, "test", Silent())
    assert sh(rig, "cat /srv/etc/hello; ls /srv/data")[1] == "hello\n"


def test_a_volume_is_shared_and_outlives_containers(rig: Rig) -> None:
    bind = volumes.parse("pool:/srv", volume=True)
    for name in ("test", "other"):
        make(rig, bind, name=name)
        control.start(rig.places, name, Silent())
    sh(rig, "echo hello >/srv/file; chown 7:7 /srv/file")
    assert sh(rig, "cat /srv/file; stat -c %u /srv/file", "other")[1] == "hello\n7\n"
    with pytest.raises(ConflictError, match="`other`, `test`"):
        volumes.remove(rig.places, "pool")
    for name in ("test", "other"):
        control.destroy(rig.places, name, force=True)
    assert volumes.find(rig.places, "pool").users == ()
    assert Path(volumes.find(rig.places, "pool").path, "file").read_text() == "hello\n"
    volumes.remove(rig.places, "pool")
    with pytest.raises(NotFoundError):
        volumes.find(rig.places, "pool")
