"""Documentation and translations that are never unpacked, through whole builds."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.builds.miniature import World, packages, small_recipe, small_world
from tests.support.needs import needs
from tests.support.packages.archive import Archive, Deb, serve

pytestmark = needs("root", "program:bwrap", "program:apt-ftparchive")

FILES = (
    "doc/{}/copyright",
    "doc/{}/README",
    "man/man1/{}.1",
    "man/de/man1/{}.1",
    "info/{}.info",
    "locale/locale.alias",
    "locale/de_AT/LC_MESSAGES/{}.mo",
    "locale/fr/LC_MESSAGES/{}.mo",
    "{}/data",
)
TOLD = "etc/dpkg/dpkg.cfg.d/oven-excludes"


def documented(folder: Path, name: str, fields: str = "") -> Deb:
    """Make a package with all kinds of extras."""
    for file in FILES:
        if "alias" not in file or not fields:  # one package has that
            path = folder / name / "usr/share" / file.format(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{name}\n")
    return Deb(name, fields, tree=folder / name)


@pytest.fixture(scope="module")
def archive(disk: Path) -> Archive:
    low = documented(disk / "more", "lowly", "Priority: required")
    high = documented(disk / "more", "lofty")
    return Archive.make(disk / "archive", (*packages(disk / "packages"), low, high))


@pytest.fixture
def world(disk: Path, archive: Archive, tmp_path: Path) -> Iterator[World]:
    with serve(archive.root) as mirror:
        yield small_world(disk / tmp_path.name, archive, mirror)


def extras(world: World, recipe: Path) -> set[str]:
    """Build, and give which of the extras are in the template."""
    world.oven.said("build", "--no-probe", "-o", world.out, recipe)
    listed = subprocess.run(
        ["tar", "-tf", world.out / f"{recipe.stem}_amd64.tar.zst"],
        capture_output=True,
        text=True,
        check=True,
    )
    names = {line.removeprefix("./") for line in listed.stdout.splitlines()}
    assert {"usr/share/lowly/data", "usr/share/lofty/data"} <= names
    some = {file.format(name) for file in FILES[:-1] for name in ("lowly", "lofty")}
    return {one for one in some if f"usr/share/{one}" in names} | (names & {TOLD})


COPYRIGHT = {"doc/lowly/copyright", "doc/lofty/copyright"}
ALL = {file.format(name) for file in FILES[:-1] for name in ("lowly", "lofty")}


def test_all_comes_along_by_default(world: World) -> None:
    assert extras(world, small_recipe(world.folder, "lofty")) == ALL


def test_no_documentation_but_whose_work_it_is(world: World) -> None:
    found = extras(world, small_recipe(world.folder, "lofty", more="documentation = false\n"))
    assert found == COPYRIGHT | {TOLD} | {one for one in ALL if one.startswith("locale/")}


def test_some_languages(world: World) -> None:
    found = extras(world, small_recipe(world.folder, "lofty", more='languages = ["de"]\n'))
    assert found == {TOLD} | {one for one in ALL if "/fr/" not in one}
    found = extras(world, small_recipe(world.folder, "lofty", more="languages = []\n"))
    assert found == {TOLD} | {one for one in ALL if "/LC_" not in one and "/de/" not in one}


def test_what_a_recipe_says_counts_for_those_below(world: World) -> None:
    small_recipe(world.folder, "plain")
    upper = world.folder / "recipes/upper.toml"
    said = 'documentation = false\nlanguages = []\ninstall = ["lofty"]\n'
    upper.write_text(f'from = "small"\n[template]\nname = "upper"\n[packages]\n{said}')
    assert extras(world, upper) == COPYRIGHT | {TOLD, "locale/locale.alias"}


def test_debootstrap_cannot(world: World) -> None:
    recipe = small_recipe(world.folder, "lofty", more="documentation = false\n")
    said = world.oven.said("build", "--no-probe", "--bootstrap", "debootstrap", recipe, code=2)
    assert "error: debootstrap unpacks documentation" in said
