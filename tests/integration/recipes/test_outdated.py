"""Which recipes would change today: asked of a real archive that has moved on."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.builds.projects import TINY, project
from tests.support.needs import needs
from tests.support.oven import CHECKOUT, Oven, text
from tests.support.packages.archive import Archive, Deb, Mirror, dead_url, serve

pytestmark = needs("root", "program:apt-ftparchive", "program:debootstrap", "program:gpg")

NEWER = (
    Deb("libtiny", "Priority: optional", "1.2", "amd64", "bookworm-security"),
    Deb("web", "Depends: libnew", "2.0"),
    Deb("libnew"),
)


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an archive, and a project whose recipes `tiny` and `site` are locked."""
    folder = tmp_path_factory.mktemp("master")
    archive = Archive.make(folder / "archive")
    project(folder / "project")
    project(folder / "project", recipe("site", '\n[packages]\ninstall = ["web"]\n'), name="site")
    project(folder / "project", recipe("never"), name="never")
    with serve(archive.root) as mirror:
        oven = shop_in(folder, mirror)
        for name in ("tiny", "site"):
            oven("lock", name, "--arch", "amd64")
    shutil.rmtree(folder / "home")
    return folder


@pytest.fixture
def archive(master: Path, tmp_path: Path) -> Archive:
    """An archive that a test may change."""
    shutil.copytree(master, tmp_path, dirs_exist_ok=True)
    return Archive(tmp_path / "archive")


@pytest.fixture
def mirror(archive: Archive) -> Iterator[Mirror]:
    with serve(archive.root) as mirror:
        yield mirror


@pytest.fixture
def shop(tmp_path: Path, mirror: Mirror) -> Oven:
    return shop_in(tmp_path, mirror)


def shop_in(folder: Path, mirror: Mirror) -> Oven:
    """The command, run in the project, with settings that name the mirror."""
    settings(folder, mirror.url, mirror.root / "keyring.gpg")
    env = {"XDG_CONFIG_HOME": str(folder), "PYTHONPATH": str(CHECKOUT)}
    return Oven(folder / "home", cwd=folder / "project", env=env)


def recipe(name: str, more: str = "") -> str:
    return TINY.replace('"tiny"', f'"{name}"') + more


def settings(folder: Path, url: str, keyring: Path) -> None:
    (folder / "oven").mkdir(exist_ok=True)
    rows = [
        f'[archive.{name}]\nmirrors = ["{url}/{name}"]\nkeyring = "{keyring}"\n'
        for name in ("debian", "debian-security")
    ]
    (folder / "oven/settings.toml").write_text("\n".join(rows))


def rows(oven: Oven, *names: str, code: int) -> dict[str, dict[str, object]]:
    found = json.loads(oven("outdated", *names, "--json", code=code).stdout)
    return {row["recipe"]: row for row in found}


def test_nothing_new(shop: Oven, mirror: Mirror) -> None:
    mirror.requests.clear()
    done = shop("outdated")
    assert text(done.stdout).splitlines() == [
        "site (amd64): up to date",
        "tiny (amd64): up to date",
    ]
    # Both recipes are of one suite, so the mirror is asked once.
    assert len(mirror.asked("dists/bookworm/InRelease")) == 1


def test_what_would_change_is_told_and_not_done(shop: Oven, archive: Archive) -> None:
    locks = {path: path.read_bytes() for path in shop.cwd.rglob("*.lock")}
    archive.publish(*NEWER)
    said = text(shop("outdated", code=1).stdout).splitlines()
    assert said == [
        "site (amd64): 1 added, 2 removed, 2 upgraded, 1 from security",
        "  added     libnew:all     none   -> 1.0   in site",
        "  upgraded  libtiny:amd64  1.1~u1 -> 1.2   security, in base",
        "  removed   libweb:all     1.0    -> none  in site",
        "  removed   postfix:all    1.0    -> none  in site",
        "  upgraded  web:all        1.0    -> 2.0   requested, in site",
        "tiny (amd64): 1 upgraded, 1 from security",
        "  upgraded  libtiny:amd64  1.1~u1 -> 1.2  security, in base",
    ]
    found = rows(shop, "tiny", code=1)
    assert found["tiny"]["counts"] == {"upgraded": 1, "security": 1}
    assert {path: path.read_bytes() for path in locks} == locks


def test_a_recipe_that_was_edited_would_change(shop: Oven) -> None:
    project(shop.cwd, recipe("site", '\n[packages]\ninstall = ["web", "cron"]\n'), name="site")
    found = rows(shop, code=1)
    assert found["site"]["outdated"]
    assert not found["tiny"]["outdated"]
    changes = found["site"]["changes"]
    assert isinstance(changes, dict)
    assert changes["keys"] == ["packages.install"]


def test_what_was_built_without_a_lock_is_looked_at_as_well(shop: Oven) -> None:
    (shop.home / "cache/locks").mkdir(parents=True)
    (shop.cwd / "recipes/tiny.lock").rename(shop.home / "cache/locks/tiny-amd64.json")
    found = rows(shop, code=0)
    assert sorted(found) == ["site", "tiny"]


def test_one_failure_does_not_hide_the_others(shop: Oven, archive: Archive) -> None:
    archive.publish(*NEWER)
    project(shop.cwd, recipe("broken", "\n[nonsense]\n"), name="broken")
    project(shop.cwd, recipe("site", '\n[packages]\ninstall = ["wbe"]\n'), name="site")
    done = shop("outdated", "--json", code=2)
    found = {row["recipe"]: row for row in json.loads(done.stdout)}
    assert found["tiny"]["outdated"] is True
    assert "nonsense" in found["recipes/broken.toml"]["error"]["problem"]
    assert "no package `wbe`" in found["site"]["error"]["problem"]
    assert "site.toml:10" in text(done.stderr)


def test_a_mirror_that_is_away_is_no_change(shop: Oven, tmp_path: Path, archive: Archive) -> None:
    settings(tmp_path, dead_url(), archive.keyring)
    found = rows(shop, code=4)
    assert {row["outdated"] for row in found.values()} == {None}


def test_a_recipe_that_was_never_locked(shop: Oven) -> None:
    assert "`oven lock never` makes one" in shop.said("outdated", "never", code=2)


def test_a_folder_without_recipes(shop: Oven, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    elsewhere = Oven(shop.home, cwd=tmp_path / "empty", env=shop.env)
    assert "no recipe here" in elsewhere.said("outdated", code=7)


def test_an_updated_lock_says_what_changed(shop: Oven, archive: Archive) -> None:
    path = shop.cwd / "recipes/tiny.lock"
    before = path.read_bytes()
    assert "nothing newer" in shop.said("lock", "tiny", "--update", "--arch", "amd64")
    assert path.read_bytes() == before
    archive.publish(*NEWER)
    assert "--update takes newer" in shop.said("lock", "tiny", "--arch", "amd64")
    done = shop("lock", "tiny", "--update", "--arch", "amd64", "--json")
    line = "  upgraded  libtiny:amd64  1.1~u1 -> 1.2  security, in base"
    assert line in text(done.stderr).splitlines()
    said = json.loads(done.stdout)
    assert said["written"] is True
    (change,) = said["changes"]["packages"]
    assert (change["name"], change["from"], change["to"]) == ("libtiny", "1.1~u1", "1.2")
    assert path.read_bytes() != before
    shop("lock", "tiny", "--check", "--arch", "amd64")
    assert text(shop("outdated", "tiny").stdout) == "tiny (amd64): up to date\n"
