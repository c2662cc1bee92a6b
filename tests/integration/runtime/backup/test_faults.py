"""Backups and what goes wrong: kills, full disks, wrong passwords, damage, hostile contents."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from builder.model.backup import Retention
from builder.model.interface import Interface
from builder.model.progress import Silent
from builder.runtime.lifecycle import control
from builder.runtime.record import state
from builder.runtime.record.container import all_names
from builder.runtime.storage import volumes
from tests.integration.runtime.backup.conftest import NOTES, SPEC, Shop
from tests.support.containers.templates import describe
from tests.support.needs import needs

pytestmark = [pytest.mark.slow, needs("root", "program:runc", "program:conmon", "program:restic")]


@pytest.fixture
def ready(shop: Shop) -> Shop:
    """An instance that has a repository, and data beyond what is compressed away."""
    shop.made()
    shop.init()
    (shop.data() / "bulk").write_bytes(os.urandom(6 << 20))
    return shop


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "small", folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)


def restic(shop: Shop, *words: str, cwd: Path | None = None) -> str:
    """Call restic itself, as whoever has the password can."""
    password = shop.rig.places.data / "backup/password"
    argv = ["restic", "-r", str(shop.repository), "-p", str(password), "--no-cache", *words]
    return subprocess.run(argv, check=True, capture_output=True, text=True, cwd=cwd).stdout


def listed(shop: Shop) -> list[object]:
    """Give the backups that there are."""
    found: list[object] = json.loads(shop.oven("backup", "list", "shop", "--json").stdout)
    return found


KILLED = """
from builder.runtime.backup import create, repository, restore
from builder.runtime.backup.restore import RestoreRequest
import os, signal
def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
{fault}
where = repository.need(places, "shop").repository
{work}
"""
CREATE = 'create.create(places, "shop", where, Silent())'
RESTORE = 'restore.restore(places, RestoreRequest("shop", "other"), where, Silent())'
OF_CREATE = {
    "in the first step": "from builder.runtime.backup import work; work.inside.capture = die",
    "while it is halted": "from builder.runtime.storage import live; live._still = die",
    "before it is kept": "from builder.runtime.backup.restic import Restic; Restic.save = die",
}
OF_RESTORE = {
    "before anything": "from builder.runtime.backup.restic import Restic; Restic.restore = die",
    "with drafts": "restore.create.make = die",
    "with a volume": "from builder.runtime.storage.own_volumes import Draft\n"
    "keep = Draft.keep\nDraft.keep = lambda one: (keep(one), die())",
}


def kill(shop: Shop, fault: str, work: str) -> None:
    process = shop.rig.call(KILLED.replace("{fault}", fault).replace("{work}", work))
    _, said = process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL, said.decode()


@pytest.mark.parametrize("moment", OF_CREATE)
def test_a_killed_backup_is_made_up_for(ready: Shop, moment: str) -> None:
    kill(ready, OF_CREATE[moment], CREATE)
    assert listed(ready) == []
    assert ready.left() != []
    ready.backed_up()
    assert ready.left() == []
    assert state.status(ready.rig.places, "shop") == "running"
    begun = "" if "first" in moment else "before\n"
    done = "" if "kept" in moment else "after\n"
    log = ready.sh("cat /var/lib/notes/log")
    assert log == f"{begun}{done or 'after' + chr(10)}before\nafter\n"
    assert len(listed(ready)) == 1


@pytest.mark.slow
def test_who_is_killed_while_restic_works_leaves_only_whole_backups(ready: Shop) -> None:
    code = KILLED.replace("{fault}", "print(flush=True)").replace("{work}", CREATE)
    process = ready.rig.call(code)
    assert process.stdout is not None
    process.stdout.readline()
    locks = ready.repository / "locks"
    while not [one for one in locks.iterdir() if "tmp" not in one.name]:
        assert process.poll() is None
    process.kill()
    process.wait()
    process.communicate()
    ready.backed_up()
    assert 1 <= len(listed(ready)) <= 2
    ready.oven("backup", "verify", "shop", "--read-data")


@pytest.mark.parametrize("moment", OF_RESTORE)
def test_a_killed_restore_leaves_nothing_half(ready: Shop, moment: str) -> None:
    ready.backed_up()
    kill(ready, OF_RESTORE[moment], RESTORE)
    assert all_names(ready.rig.places) == ["shop"]
    there = ["other.notes"] * (moment == "with a volume")
    assert [one.name for one in volumes.every(ready.rig.places)] == [*there, "shop.notes"]
    ready.oven("backup", "restore", "shop", "--as", "other")
    assert ready.left() == []
    control.start(ready.rig.places, "other", Silent())
    assert ready.sh("cat /var/lib/notes/dump", "other") == "dump\n"


def test_a_full_repository_is_told_and_no_backup_is_there(ready: Shop, small: Path) -> None:
    ready.repository = small / "repository"
    ready.init()
    told = ready.oven.said("backup", "create", "shop", code=3)
    assert "no space left" in told
    assert listed(ready) == []
    assert ready.left() == []
    assert ready.sh("cat /var/lib/notes/log") == "before\nafter\n"


def test_a_wrong_password_is_told_before_anything_is_done(ready: Shop, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("another one\n")
    other.chmod(0o600)
    told = ready.oven.said("backup", "create", "shop", "--password-file", other, code=7)
    assert f"the password in `{other}` does not open the repository" in told
    assert not (ready.data() / "log").exists()


def test_damage_turns_verify_red(ready: Shop) -> None:
    ready.backed_up()
    ready.oven("backup", "verify", "shop")
    packs = [one for one in (ready.repository / "data").rglob("*") if one.is_file()]
    largest = max(packs, key=lambda one: one.stat().st_size)
    largest.chmod(0o600)
    with largest.open("r+b") as file:
        file.seek(1 << 10)
        file.write(os.urandom(1 << 10))
    told = ready.oven.said("backup", "verify", "shop", code=3)
    assert "is damaged" in told
    told = ready.oven.said("backup", "verify", "shop", "--read-data", code=3)
    assert "is damaged" in told
    told = ready.oven.said("backup", "restore", "shop", "--as", "other", code=3)
    assert "is damaged" in told
    assert all_names(ready.rig.places) == ["shop"]
    assert ready.left() == []


def locked(shop: Shop, *before: str) -> Path:
    """Have a restic die that had locked the repository for itself; give where locks are."""
    password = shop.rig.places.data / "backup/password"
    argv = [*before, "restic", "-r", str(shop.repository), "-p", str(password), "--no-cache"]
    process = subprocess.Popen([*argv, "check", "--read-data"], stdout=subprocess.DEVNULL)
    locks = shop.repository / "locks"
    while not [one for one in locks.iterdir() if "tmp" not in one.name]:
        assert process.poll() is None
    process.kill()
    process.wait()
    return locks


def test_the_lock_of_a_dead_process_is_no_hindrance(ready: Shop) -> None:
    locks = locked(ready)
    ready.backed_up()
    assert list(locks.iterdir()) == []


def test_the_lock_of_another_host_is_told(ready: Shop) -> None:
    locked(ready, "unshare", "--uts", "sh", "-c", 'hostname elsewhere; exec "$@"', "sh")
    told = ready.oven.said("backup", "create", "shop", code=7)
    assert "is locked: another host or command is at work on it" in told
    assert "unlock" in told
    assert ready.left() == []


def test_a_full_disk_in_a_restore_leaves_nothing(ready: Shop, small: Path) -> None:
    ready.backed_up()
    home = ready.rig.places.data / "backup"
    password = (home / "password").read_bytes()
    subprocess.run(["mount", "--bind", small, home], check=True)
    try:
        (home / "password").write_bytes(password)
        (home / "password").chmod(0o600)
        told = ready.oven.said("backup", "restore", "shop", "--as", "other", code=3)
        assert "no space left" in told
        assert ready.left() == []
    finally:
        subprocess.run(["umount", home], check=True)
    assert all_names(ready.rig.places) == ["shop"]
    assert [one.name for one in volumes.every(ready.rig.places)] == ["shop.notes"]


def test_strangers_bytes_are_no_way_out(ready: Shop, tmp_path: Path) -> None:
    ready.backed_up()
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "secret").write_text("secret")
    folder = tmp_path / "hostile"
    restic(ready, "restore", "latest", "--target", str(folder))
    honest = json.loads((folder / "backup.json").read_bytes())
    words = ("--host", "shop", "--tag", "oven")

    def refused(code: int = 5) -> str:
        restic(ready, "backup", *words, ".", cwd=folder)
        told = ready.oven.said("backup", "restore", "shop", "--as", "other", code=code)
        assert all_names(ready.rig.places) == ["shop"]
        assert [one.name for one in volumes.every(ready.rig.places)] == ["shop.notes"]
        assert ready.left() == []
        return told

    (folder / "volumes/notes").rename(tmp_path / "away")
    (folder / "volumes/notes").symlink_to(victim)
    assert "no data of the volume `notes`" in refused()
    (folder / "volumes").rename(tmp_path / "away2")
    (folder / "volumes").symlink_to(victim.parent)
    refused()
    (folder / "volumes").unlink()
    (folder / "backup.json").unlink()
    (folder / "backup.json").symlink_to("/etc/passwd")
    assert "cannot be read" in refused()
    (folder / "backup.json").unlink()
    for key, value in (("uid", -1), ("uid", 1 << 20), ("spec", {"name": "../x", "path": "/srv"})):
        changed = json.loads(json.dumps(honest))
        changed["volumes"][0][key] = value
        (folder / "backup.json").write_text(json.dumps(changed))
        assert "record of the backup" in refused()
    changed = json.loads(json.dumps(honest))
    changed["parcel"]["container"]["uuid"] = "../../x"
    (folder / "backup.json").write_text(json.dumps(changed))
    assert "wrong `uuid`" in refused()
    assert (victim / "secret").read_text() == "secret"
    assert victim.stat().st_uid == 0


def test_prune_keeps_what_the_recipe_says(ready: Shop) -> None:
    spec = msgspec.structs.replace(SPEC, keep=Retention(last=2))
    describe(ready.rig, interface=Interface(volumes=(NOTES,), backup=spec))
    made = [ready.backed_up() for _ in range(3)]
    ready.oven("backup", "prune", "shop")
    kept = [str(one["id"]) for one in listed(ready) if isinstance(one, dict)]
    assert [one[:8] for one in kept] == [one[:8] for one in made[1:]]
