"""Containers of the RPM family whose dnf has installed and removed: told, and upgraded."""

import contextlib
import os
import sqlite3
import subprocess
from pathlib import Path

import pytest

from builder.distros.rpm.packages import RpmDatabase
from builder.host.overlayfs.layered import Layers
from builder.model.errors import ConflictError, HostError, StageError
from builder.model.progress import Silent
from builder.runtime.access.exec import capture
from builder.runtime.diff import as_overlay, difference
from builder.runtime.lifecycle import control, create
from builder.runtime.record.container import load
from builder.runtime.upgrade import upgrade
from tests.support.containers.rig import DIGEST, Rig
from tests.support.containers.templates import add, describe
from tests.support.containers.upgrades import NEW, order
from tests.support.needs import needs
from tests.support.packages.odd_databases import database_of
from tests.support.packages.rpm_archive import Rpm, RpmArchive
from tests.support.packages.rpm_inside import give, install, repository, tree_with_dnf

pytestmark = needs(
    "root", "program:runc", "program:conmon", "program:rpm", "program:dnf", "program:rpmbuild",
    "program:createrepo_c",
)  # fmt: skip

CONFIG = "%config %attr(0644,root,root) /etc/greeter.conf"
QUIET = "%config(noreplace) %attr(0644,root,root) /etc/quiet.conf"
GHOST = "%ghost %attr(0644,root,root) /srv/greeted"
PACKAGES = (
    Rpm("tool", "1.0", content={"/usr/share/tool": "one\n"}),
    Rpm("tool", "2.0", content={"/usr/share/tool": "two\n"}),
    Rpm("spare", content={"/usr/share/spare": "spare\n"}),
    Rpm("libgreet", fields="Epoch: 2", content={"/usr/share/libgreet": "shipped\n"}),
    Rpm(
        "greeter",
        requires=("libgreet",),
        scripts="%pre -n NAME -p <lua>\nname = 'useradd greeter'\n",
        content={"/usr/bin/greeter": "#!/bin/sh\ncat /usr/share/libgreet\n"},
        files=(CONFIG, QUIET, GHOST),
    ),
)  # fmt: skip
SHIPPED = {"etc/greeter.conf": "shipped\n", "etc/quiet.conf": "shipped\n", "srv/greeted": ""}


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> RpmArchive:
    folder = tmp_path_factory.mktemp("archive")
    files = folder / "files"
    for path, text in SHIPPED.items():
        (files / path).parent.mkdir(parents=True, exist_ok=True)
        (files / path).write_text(text)
    return repository(folder, PACKAGES, tree=files)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, archive: RpmArchive) -> Path:
    root = tree_with_dnf(tmp_path_factory.mktemp("base") / "rootfs")
    give(archive, root)
    return root


def template(base: Path, root: Path, *files: Path) -> Path:
    subprocess.run(["cp", "-al", base, root], check=True)
    install(root, *files)
    return root


@pytest.fixture
def tree(tmp_path: Path, base: Path, archive: RpmArchive) -> Path:
    one, _ = sorted(archive.pub.rglob("tool-*.rpm"))
    return template(base, tmp_path / "old", one, archive.package("spare"))


@pytest.fixture
def rig(rig: Rig, tmp_path: Path, base: Path, archive: RpmArchive) -> Rig:
    _, two = sorted(archive.pub.rglob("tool-*.rpm"))
    describe(rig)
    add(rig, NEW, template(base, tmp_path / "new", two, archive.package("spare")))
    create.create(rig.places, rig.container())
    control.start(rig.places, "test", Silent())
    return rig


def inside(rig: Rig, script: str) -> str:
    code, said = capture(rig.places, "test", ("sh", "-c", script))
    assert code == 0, said
    return said


def by_hand(rig: Rig) -> None:
    """Do what an administrator would."""
    inside(rig, "dnf -q -y swap spare greeter && greeter")
    inside(rig, "echo mine > /etc/greeter.conf; echo mine > /etc/quiet.conf")
    inside(rig, "echo mine > /etc/by-hand; echo many > /srv/greeted")


SAID = r"\(\+ greeter 1.0-1, \+ libgreet 2:1.0-1, - spare 1.0-1\)"


def test_packages_of_its_own_are_installed_and_removed_again(rig: Rig) -> None:
    by_hand(rig)
    with pytest.raises(ConflictError, match=f"other packages than its template {SAID}"):
        upgrade.upgrade(rig.places, "test", order(rig), Silent())
    assert load(rig.places, "test").template == DIGEST
    done = upgrade.upgrade(rig.places, "test", order(rig, reinstall=True), Silent())
    assert done.plan.work.install == ("greeter.noarch", "libgreet.noarch")
    assert done.plan.work.remove == ("spare.noarch",)
    assert load(rig.places, "test").template == NEW
    there = inside(rig, "rpm -qa --qf '%{NAME}-%{VERSION}\n'").split()
    assert sorted(there) == ["greeter-1.0", "libgreet-1.0", "tool-2.0"]
    # What rpm says of files, but for those that were changed by hand.
    changed = inside(rig, "rpm -Va || :")
    assert [line.split()[-1] for line in changed.splitlines()] == [
        "/etc/greeter.conf", "/etc/quiet.conf",
    ]  # fmt: skip
    assert inside(rig, "greeter; cat /usr/share/tool") == "shipped\ntwo\n"
    kept = "/etc/greeter.conf /etc/quiet.conf /etc/by-hand /srv/greeted"
    assert inside(rig, f"cat {kept}") == "mine\nmine\nmine\nmany\n"
    assert inside(rig, "ls /etc | grep oven || :") == ""
    # Only what was asked for would stay when all else is taken away.
    asked = inside(rig, "dnf -q repoquery --userinstalled --qf '%{name}'").split()
    assert "greeter" in asked
    assert "libgreet" not in asked


def test_what_cannot_be_installed_again_is_undone(rig: Rig) -> None:
    by_hand(rig)
    inside(rig, "rm -r /srv/repository /var/cache/dnf")
    with pytest.raises(StageError, match="`dnf` inside ended with status 1"):
        upgrade.upgrade(rig.places, "test", order(rig, reinstall=True), Silent())
    assert load(rig.places, "test").template == DIGEST
    assert inside(rig, "greeter; cat /etc/greeter.conf /usr/share/tool") == "shipped\nmine\none\n"


def test_without_packages_of_its_own_nobody_is_asked(rig: Rig) -> None:
    inside(rig, "rpm -qa >/dev/null; dnf -q makecache; echo mine > /etc/by-hand")
    with difference.opened(rig.places, "test") as (container, layers):
        rows = [one.row.path for one in difference.differences(layers, container)]
    assert rows == ["etc/by-hand"], "what dnf and rpm keep for themselves is no change"
    # A log of the old database would be played into the new one.
    inside(rig, "echo stale > /var/lib/rpm/rpmdb.sqlite-wal")
    upgrade.upgrade(rig.places, "test", order(rig), Silent())
    inside(rig, "test ! -e /var/lib/rpm/rpmdb.sqlite-wal")
    assert inside(rig, "rpm -q tool; cat /etc/by-hand") == "tool-2.0-1.noarch\nmine\n"


def test_an_overlay_of_what_was_done_by_hand(rig: Rig, tmp_path: Path) -> None:
    by_hand(rig)
    inside(rig, "echo greeter:x:500:500::/:/bin/false >> /etc/passwd")
    with difference.opened(rig.places, "test") as (container, layers):
        written = as_overlay.write(layers, container, tmp_path / "out")
    assert (written.install, written.removed) == (["greeter"], ["spare"])
    etc = [path for path in written.files if not path.startswith("srv/")]
    assert etc == ["etc/by-hand", "etc/greeter.conf", "etc/quiet.conf"]
    assert written.accounts.users == [], "a scriptlet makes that one"


def test_a_database_that_is_none_is_told(rig: Rig) -> None:
    control.stop(rig.places, "test")
    path = rig.places.data / "containers/test/upper/var/lib/rpm/rpmdb.sqlite"
    path.parent.mkdir(parents=True)
    path.write_bytes(os.urandom(9000))
    with pytest.raises(HostError, match=r"table of packages cannot be read: `/var/lib/rpm/rpmdb"):
        upgrade.foresee(rig.places, "test", order(rig))


def test_a_database_without_packages_is_one(tmp_path: Path) -> None:
    database_of(tmp_path / "var/lib/rpm")
    (tmp_path / "none").mkdir()
    with Layers((tmp_path / "none",), tmp_path) as layers:
        assert RpmDatabase().installed(layers.find) == {}


def test_what_is_not_yet_in_the_database_itself_is_read(tmp_path: Path) -> None:
    """A container that runs, or was killed, has it in the log beside."""
    (tmp_path / "none").mkdir()
    database, other = (database_of(tmp_path / one, one[-3:]) for one in ("var/lib/rpm", "other"))
    with contextlib.closing(sqlite3.connect(database)) as writer:
        writer.execute("ATTACH ? AS other", (str(other),))
        writer.execute("INSERT INTO Packages SELECT hnum + 1, blob FROM other.Packages")
        writer.commit()
        assert database.with_name("rpmdb.sqlite-wal").stat().st_size > 0
        with Layers((tmp_path / "none",), tmp_path) as layers:
            found = RpmDatabase().installed(layers.find)
    assert sorted(found) == [("her", "noarch"), ("rpm", "noarch")]
