"""Backups of an instance through a real restic: made, listed, and made an instance of again."""

import json
import os
import stat
from pathlib import Path

import msgspec
import pytest

from builder.model.backup import BackupCommand, BackupSpec
from builder.model.interface import Interface
from builder.model.progress import Silent
from builder.runtime.lifecycle import control
from builder.runtime.record import state
from builder.runtime.record.container import load
from builder.runtime.storage import volumes
from tests.integration.runtime.backup.conftest import NOTES, SPEC, Shop
from tests.support.containers.templates import describe
from tests.support.needs import needs
from tests.support.oven import text

pytestmark = needs("root", "program:runc", "program:conmon", "program:restic")


def test_what_was_backed_up_is_an_instance_again(shop: Shop) -> None:
    shop.made()
    shop.init()
    shop.sh("cd /var/lib/notes; mkdir deep; echo mine >deep/file; chown 1000:50 deep/file;"
            " ln -s /etc/passwd link")  # fmt: skip
    (shop.data() / "deep/file").chmod(0o640)
    os.setxattr(shop.data() / "deep/file", "user.kind", b"note")
    made = shop.backed_up()
    rows = json.loads(shop.oven("backup", "list", "shop", "--json").stdout)
    assert [(one["id"][:8], one["instance"], one["template"]) for one in rows] == [
        (made[:8], "shop", "tiny")
    ]
    assert made[:8] in text(shop.oven("backup", "list", "shop").stdout)
    shop.oven("destroy", "--force", "--volumes", "shop")
    where = ("--repository", shop.repository)
    shop.oven("backup", "restore", "shop", "--as", "again", *where)
    control.start(shop.rig.places, "again", Silent())
    look = "cd /var/lib/notes; stat -c %u:%g:%a . deep/file; cat deep/file dump; readlink link"
    assert shop.sh(look, "again").split() == [
        "1000:50:2750", "1000:50:640", "mine", "dump", "/etc/passwd",
    ]  # fmt: skip
    assert os.getxattr(shop.data("again.notes") / "deep/file", "user.kind") == b"note"
    assert shop.left() == []


def test_steps_come_before_and_after_and_what_is_excluded_stays_away(shop: Shop) -> None:
    shop.made()
    shop.init()
    shop.backed_up()
    assert shop.sh("cat /var/lib/notes/log") == "before\nafter\n"
    shop.oven("backup", "restore", "shop", "--as", "other")
    there = sorted(one.name for one in shop.data("other.notes").iterdir())
    assert there == ["dump", "log"]
    assert (shop.data("other.notes") / "log").read_text() == "before\n"


@pytest.mark.slow
def test_of_several_backups_each_can_be_had(shop: Shop) -> None:
    shop.made()
    shop.init()
    first = shop.backed_up()
    shop.sh("echo two >/var/lib/notes/two")
    shop.backed_up()
    shop.oven("backup", "restore", "shop", "--as", "one", "--snapshot", first)
    shop.oven("backup", "restore", "shop", "--as", "two")
    assert not (shop.data("one.notes") / "two").exists()
    assert (shop.data("two.notes") / "two").read_text() == "two\n"
    said = shop.oven.said("backup", "restore", "shop", "--as", "x", "--snapshot", "0bad", code=7)
    assert "has no backup `0bad`" in said


def test_a_step_that_fails_makes_no_backup_and_the_end_is_seen_to(shop: Shop) -> None:
    for command, said in (
        (("sh", "-c", "echo no dump; exit 3"), "ended with 3"),
        (("sleep", "100"), "took longer than 1s"),
    ):
        fails = BackupCommand(command=command, timeout="1s")
        spec = msgspec.structs.replace(SPEC, before=(*SPEC.before, fails))
        shop.made(Interface(volumes=(NOTES,), backup=spec))
        shop.init()
        assert said in shop.oven.said("backup", "create", "shop", code=6)
        assert shop.sh("cat /var/lib/notes/log") == "before\nafter\n"
        assert json.loads(shop.oven("backup", "list", "shop", "--json").stdout) == []
        assert shop.left() == []
        shop.oven("destroy", "--force", "--volumes", "shop")


@pytest.mark.slow
def test_one_that_is_stopped_is_backed_up_unless_something_comes_first(shop: Shop) -> None:
    shop.made()
    shop.init()
    control.stop(shop.rig.places, "shop")
    assert "`oven start shop` first" in shop.oven.said("backup", "create", "shop", code=7)
    shop.oven("destroy", "--volumes", "shop")
    shop.made(Interface(volumes=(NOTES,), backup=BackupSpec()))
    shop.init()
    control.stop(shop.rig.places, "shop")
    shop.backed_up()


def test_one_that_is_there_is_never_written_over(shop: Shop) -> None:
    shop.made()
    shop.init()
    shop.backed_up()
    shop.sh("echo newer >/var/lib/notes/dump")
    told = shop.oven.said("backup", "restore", "shop", "--as", "shop", code=7)
    assert "there is a container `shop` already" in told
    shop.oven("destroy", "--force", "shop")
    told = shop.oven.said(
        "backup", "restore", "shop", "--as", "shop", "--repository", shop.repository, code=7
    )
    assert "there is a volume `shop.notes` already" in told
    assert (shop.data() / "dump").read_text() == "newer\n"


@pytest.mark.slow
def test_what_is_not_worth_a_backup_begins_anew(shop: Shop) -> None:
    scratch = msgspec.structs.replace(NOTES, name="scratch", path="/srv/scratch", backup=False)
    shop.made(Interface(volumes=(NOTES, scratch)))
    shop.init()
    shop.sh("echo lost >/srv/scratch/file")
    shop.backed_up()
    shop.oven("backup", "restore", "shop", "--as", "other")
    assert list(shop.data("other.scratch").iterdir()) == []
    assert [one.target for one in load(shop.rig.places, "other").binds] == [
        "/var/lib/notes", "/srv/scratch",
    ]  # fmt: skip


def test_the_password_is_for_root_alone(shop: Shop) -> None:
    shop.made()
    told = shop.oven.said("backup", "init", "shop", "--repository", shop.repository)
    password = shop.rig.places.data / "backup/password"
    assert f"made a password in `{password}`" in told
    assert stat.S_IMODE(password.stat().st_mode) == 0o600
    before = password.read_text()
    assert "made a password" not in shop.oven.said(
        "backup", "init", "shop", "--repository", shop.repository
    )
    assert password.read_text() == before
    password.chmod(0o640)
    assert f"chmod 600 {password}" in shop.oven.said("backup", "create", "shop", code=7)


def test_without_a_repository_it_is_said_how_to_have_one(shop: Shop) -> None:
    shop.made()
    assert "`oven backup init shop" in shop.oven.said("backup", "create", "shop", code=7)
    shop.init()
    assert "`oven backup init` makes one" in shop.oven.said(
        "backup", "create", "shop", "--repository", "/nowhere/at/all", "--password-file",
        shop.rig.places.data / "backup/password", code=7,
    )  # fmt: skip


def test_credentials_in_the_repository_s_name_are_refused(shop: Shop) -> None:
    shop.made()
    bad = "s3:https://key:secret@example.test/bucket"
    told = shop.oven.said("backup", "init", "shop", "--repository", bad, code=2)
    assert "--credentials FILE" in told
    assert "secret" not in told


def test_a_running_one_is_running_afterwards(shop: Shop) -> None:
    shop.made()
    shop.init()
    shop.backed_up()
    current = state.read(shop.rig.places, "shop")
    assert current is not None
    assert state.status(shop.rig.places, "shop") == "running"
    assert shop.sh("echo on") == "on\n"


@pytest.mark.parametrize("what", ["owner", "schema"])
def test_a_template_that_cannot_have_the_data_is_refused(shop: Shop, what: str, tree: Path) -> None:
    newer = msgspec.structs.replace(NOTES, schema=2)
    shop.made(Interface(volumes=(newer,)))
    shop.init()
    shop.backed_up()
    if what == "schema":
        describe(shop.rig, interface=Interface(volumes=(NOTES,)))
        words = "has the form 2"
    else:
        passwd = tree / "etc/passwd"
        passwd.write_text("root:x:0:0::/:/bin/sh\nann:x:1001:1000::/:/bin/sh\n")
        words = "belongs to the user 1000"
    told = shop.oven.said("backup", "restore", "shop", "--as", "other", code=7)
    assert words in told
    assert [one.name for one in volumes.every(shop.rig.places)] == ["shop.notes"]
    assert shop.left() == []


def test_all_volumes_are_as_of_one_moment(shop: Shop) -> None:
    other = msgspec.structs.replace(NOTES, name="other", path="/srv/other")
    shop.made(Interface(volumes=(NOTES, other)))
    shop.init()
    loop = "while :; do echo >>/var/lib/notes/n; echo >>/srv/other/n; done"
    shop.sh(f"({loop}) >/dev/null 2>&1 </dev/null &")
    for number in range(600):  # there are many files to copy meanwhile
        (shop.data() / f"file{number}").write_bytes(b"x" * 4096)
    shop.backed_up()
    shop.oven("backup", "restore", "shop", "--as", "again")
    first = (shop.data("again.notes") / "n").stat().st_size
    second = (shop.data("again.other") / "n").stat().st_size
    assert 0 <= first - second <= 1
    assert first > 1
    assert (shop.data() / "n").stat().st_size > first, "it went on"
