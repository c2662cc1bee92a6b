"""What the host shows inside as `/run/host` stays the host's: read-only, and no way out of it."""

from pathlib import Path

import msgspec
import pytest

from builder.host.process.sd_notify import Listener
from builder.model.first_boot import FirstBoot, Root
from builder.model.progress import Silent
from builder.runtime.access.exec import capture
from builder.runtime.bundle import first_boot, pending
from builder.runtime.lifecycle import boot, control, create
from builder.runtime.record.layout import PENDING, WRITTEN, folder_of, volatile_of
from builder.runtime.recovery.held import Held
from tests.support.containers.logins import HASH
from tests.support.containers.rig import INIT, Rig, add_program, put_init, rig_in, tiny_tree
from tests.support.hosts.namespace import folder_of as folder_of_user
from tests.support.hosts.namespace import in_namespace
from tests.support.hosts.ordinary_user import ENOUGH, account
from tests.support.needs import needs

pytestmark = needs(
    "root", "userns", "program:runc", "program:conmon", "program:useradd", "program:newuidmap"
)

DATA = FirstBoot(hostname="web1", root=Root(password_hash=HASH))
REMOUNT = "mount -o remount,bind,rw /run/host"
WAYS = (
    REMOUNT,
    "mount -o remount,rw /run/host",
    "mount --bind /run/host /tmp && mount -o remount,bind,rw /tmp",
    "mount -o remount,bind,rw /run/systemd/journald.conf.d",
)
STAT = """\
#!/bin/sh
cd /run/host/credentials; (cat system.hostname; echo; stat -c '%u %a' system.hostname) >/seen
"""


@pytest.fixture(scope="module")
def tree(tree: Path) -> Path:
    add_program(tree, "mkdir")
    return tree


def test_root_inside_cannot_write_to_the_hosts_run_folder(rig: Rig) -> None:
    """H16: remounted by who is root inside, the folder took 60 MiB past every limit."""
    create.create(rig.places, rig.container())
    control.start(rig.places, "test", Silent())
    for way in WAYS:
        code, said = capture(rig.places, "test", ("sh", "-c", way))
        assert code != 0, f"{way}: {said}"
    script = "head -c 1M /dev/zero >/run/host/credentials/x"
    assert capture(rig.places, "test", ("sh", "-c", script))[0] != 0
    assert list((volatile_of(rig.places, "test") / "host/credentials").iterdir()) == []
    assert capture(rig.places, "test", ("cat", "/run/host/container-manager"))[1] == "oven\n"
    assert control.stop(rig.places, "test", timeout=20)


def test_root_inside_owns_nothing_there(rig: Rig) -> None:
    """H16, as if the mount were no wall: whom root inside is mapped to may write to nothing."""
    create.create(rig.places, rig.container(init="systemd"), first_boot.extras(DATA))
    put_init(folder_of(rig.places, "test") / "upper", f"{STAT}{INIT}", as_systemd=True)
    control.start(rig.places, "test", Silent())
    shared = volatile_of(rig.places, "test") / "host"
    for path in (shared, *shared.rglob("*")):
        status = path.stat()
        assert status.st_uid == 0, path
        assert status.st_mode & 0o022 == 0 or path.is_socket(), path
    seen = capture(rig.places, "test", ("cat", "/seen"))[1].splitlines()
    assert "web1" in seen, "root inside reads what it is shown"
    assert "65534 440" in seen


def hostile(rig: Rig, script: str) -> Path:
    """Make a container that passes for systemd, and does that before it is ready."""
    container = rig.container("test", init="systemd")
    create.create(rig.places, container, first_boot.extras(DATA))
    upper = folder_of(rig.places, "test") / "upper"
    put_init(upper, INIT.replace("#!/bin/sh\n", f"#!/bin/sh\n{script}\n"), as_systemd=True)
    return volatile_of(rig.places, "test") / "host"


def test_what_lies_among_credentials_keeps_no_start_from_its_end(rig: Rig) -> None:
    """H16: a folder there made every start end in a bug, and left the hashes on the host."""
    shared = hostile(rig, f"{REMOUNT}; rm /run/host/credentials/*; mkdir /run/host/credentials/odd")
    assert control.start(rig.places, "test", Silent()).ready
    assert not pending.waits(rig.places, "test")
    assert list((shared / "credentials").iterdir()) == []


@pytest.mark.parametrize("kind", ["link", "file", "folder"])
def test_no_credentials_are_forgotten_elsewhere(rig: Rig, tmp_path: Path, kind: str) -> None:
    """H14, as if the mount were no wall: only what was written is removed, and through no link."""
    shared = hostile(rig, "")
    victim = tmp_path / "victim"
    victim.mkdir()
    name = "passwd.hashed-password.root"
    (victim / name).write_text("of the host")
    container = rig.container("test", init="systemd")
    boot.prepare(Held(rig.places, container, None))
    (folder_of(rig.places, "test") / PENDING).rename(folder_of(rig.places, "test") / WRITTEN)
    (shared / "credentials").rmdir()
    if kind == "link":
        (shared / "credentials").symlink_to(victim)
    elif kind == "file":
        (shared / "credentials").write_text("")
    else:
        (shared / "credentials" / name / "deep").mkdir(parents=True)
        (shared / "credentials" / "odd").mkdir()
    first_boot.forget(rig.places, "test")
    assert (victim / name).read_text() == "of the host"
    assert not pending.waits(rig.places, "test")
    if kind == "folder":
        assert [path.name for path in (shared / "credentials").iterdir()] == ["odd"]


@pytest.mark.parametrize("kind", ["link", "folder"])
def test_listening_anew_meets_what_lies_there(tmp_path: Path, kind: str) -> None:
    """H14's kin: a container that runs is listened to anew, where it may have put anything."""
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "thesis").write_text("ten years")
    if kind == "link":
        (tmp_path / "notify").symlink_to(victim)
    else:
        (tmp_path / "notify/deep").mkdir(parents=True)
    with Listener(tmp_path / "notify"):
        assert (tmp_path / "notify").is_socket()
        assert (tmp_path / "notify").lstat().st_mode & 0o777 == 0o666
    assert (victim / "thesis").read_text() == "ten years"


def test_a_users_template_deletes_nothing_of_the_user() -> None:
    """H14: its init made `credentials` a link, and all files where it led were deleted."""
    ids = {"uids": (ENOUGH,), "gids": (ENOUGH,)}
    with account("oven-host", **ids) as user, folder_of_user(user.name) as folder:
        victim = folder / "victim"
        script = (
            f"{REMOUNT}; rm -r /run/host/credentials; ln -s {victim} /run/host/credentials\n"
            "touch /run/host/was-here"
        )

        def work() -> list[str]:
            victim.mkdir()
            (victim / "thesis").write_text("ten years")
            tree = tiny_tree(folder / "rootfs")
            put_init(tree, INIT.replace("#!/bin/sh\n", f"#!/bin/sh\n{script}\n"))
            with rig_in(folder / "home", tree) as rig:
                places = msgspec.structs.replace(
                    rig.places, user=user.uid, point=rig.places.runtime / "mnt"
                )
                create.create(places, Rig(places).container(), first_boot.extras(DATA))
                control.start(places, "test", Silent())
                there = sorted(
                    path.name for path in (volatile_of(places, "test") / "host").iterdir()
                )
                control.destroy(places, "test", force=True)
                return there

        there = in_namespace(work, user=user.name)
        assert (victim / "thesis").read_text() == "ten years"
        assert "was-here" not in there
