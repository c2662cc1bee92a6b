"""Packages on a tarball: chosen by what its dpkg says, locked, installed; and strange tarballs."""

import hashlib
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.builds.miniature import World, packages, small_world
from tests.support.needs import needs
from tests.support.oven import Oven
from tests.support.packages.archive import Archive, Deb, serve

pytestmark = needs("root", "program:bwrap", "program:apt-ftparchive")

MINI = """\
from = "tarball"

[template]
name = "mini"

[tarball.amd64]
path = "{file}"
sha256 = "{sha256}"

[base]
distro = "debian"
suite = "bookworm"

[packages]
"""
TOP = """\
from = "mini"

[template]
name = "top"

[packages]
"""
STATUS = "var/lib/dpkg/status"
OLD = (Deb("lib"), Deb("other"), Deb("needs-lib", "Depends: lib"), Deb("held"))
NEWER = (
    Deb("lib", version="2.0", suite="bookworm-updates"),
    Deb("other", version="2.0", suite="bookworm-updates"),
    Deb("held", version="2.0", suite="bookworm-updates"),
    Deb("a-user", "Depends: lib (>= 2)\nBreaks: lib (<< 2)"),
    Deb("needs-held", "Depends: held (>= 2)"),
)


@pytest.fixture(scope="module")
def archive(disk: Path) -> Archive:
    return Archive.make(disk / "archive", (*packages(disk / "packages"), *OLD))


@pytest.fixture(scope="module")
def root(disk: Path, archive: Archive) -> Path:
    """Somebody's root file system, of which nobody has a lock."""
    with serve(archive.root) as mirror:
        world = small_world(disk / "somebody", archive, mirror, "needs-lib", "other", "held")
        world.oven.said(*world.line[3:])
    root = disk / "root"
    root.mkdir()
    subprocess.run(["tar", "-xf", world.out / "small_amd64.tar.zst", "-C", root], check=True)
    return root


@pytest.fixture(scope="module")
def later(disk: Path, archive: Archive) -> Archive:
    """The archive when it has moved on."""
    return archive.grown(disk / "later", *NEWER)


@pytest.fixture
def world(disk: Path, later: Archive, tmp_path: Path) -> Iterator[World]:
    with serve(later.root) as mirror:
        yield small_world(disk / tmp_path.name, later, mirror)


def unchanged(root: Path) -> None:
    """Leave it as it is."""


def mini(world: World, root: Path, said: str, change: Callable[[Path], object] = unchanged) -> Path:
    """Pack a root file system, which a test may change before, and write a recipe that takes it."""
    folder = world.folder / "recipes/mini"
    folder.mkdir(parents=True)
    copy = world.folder / "changed"
    subprocess.run(["cp", "-a", root, copy], check=True)
    change(copy)
    argv = ("tar", "--sort=name", "-cf", folder / "root.tar", "-C", copy, ".")
    subprocess.run(argv, check=True)
    sha256 = hashlib.sha256((folder / "root.tar").read_bytes()).hexdigest()
    recipe = folder.with_suffix(".toml")
    recipe.write_text(MINI.format(file="root.tar", sha256=sha256) + said)
    return recipe


def locked(world: World, recipe: Path) -> dict[str, tuple[str, bool]]:
    """Lock, and give version of each package, and whether it was asked for."""
    world.oven.said("lock", recipe)
    lock = json.loads(recipe.with_suffix(".lock").read_text())
    assert len(lock["releases"]) == 3
    return {one["name"]: (one["version"], one.get("requested", False)) for one in lock["packages"]}


def tree(world: World, recipe: Path) -> Path:
    """Build, and give what has come out, unpacked."""
    world.oven.said("build", "--no-probe", "-o", world.out, recipe)
    unpacked = world.folder / "unpacked"
    subprocess.run(["rm", "-rf", unpacked], check=True)
    unpacked.mkdir()
    tarball = world.out / f"{recipe.stem}_amd64.tar.zst"
    subprocess.run(["tar", "-xf", tarball, "-C", unpacked], check=True)
    return unpacked


def known(unpacked: Path) -> dict[str, str]:
    """Give the versions that dpkg holds for installed; the manifest must say the same."""
    query = ("dpkg-query", f"--admindir={unpacked}/var/lib/dpkg", "-W")
    shown = "-f=${Package} ${Version} ${db:Status-Status}\\n"
    lines = subprocess.run([*query, shown], capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in lines.splitlines()]
    found = {name: version for name, version, state in rows if state == "installed"}
    manifest = json.loads((unpacked / "usr/share/oven/manifest.json").read_text())
    assert found == {one["name"]: one["version"] for one in manifest["packages"]}
    return found


def test_packages_come_to_what_is_there(world: World, root: Path) -> None:
    recipe = mini(world, root, 'install = ["scripted"]\n')
    # What the tarball has is in no lock, and stays as it is while nothing needs a newer one.
    assert locked(world, recipe) == {"scripted": ("1.0", True), "plain": ("1.0", False)}
    unpacked = tree(world, recipe)
    assert known(unpacked).items() >= {"scripted": "1.0", "plain": "1.0", "lib": "1.0"}.items()
    assert (unpacked / "etc/scripted").read_text() == "made by configure\n"
    marks = (unpacked / "var/lib/apt/extended_states").read_text()
    assert {"Package: plain", "Package: lib"} <= set(marks.splitlines())
    assert "Package: scripted\n" not in marks
    first = hashlib.sha256((world.out / "mini_amd64.tar.zst").read_bytes()).hexdigest()
    another = Oven(Path(f"{world.home}-again"), env=world.oven.env)
    another.said("build", "--no-probe", "--locked", "-o", world.out, recipe)
    assert hashlib.sha256((world.out / "mini_amd64.tar.zst").read_bytes()).hexdigest() == first


def test_what_is_there_becomes_new_where_that_is_needed(world: World, root: Path) -> None:
    recipe = mini(world, root, 'install = ["a-user"]\n')
    assert locked(world, recipe) == {"a-user": ("1.0", True), "lib": ("2.0", False)}
    found = known(tree(world, recipe))
    assert (found["lib"], found["other"]) == ("2.0", "1.0")


def test_a_recipe_above_adds_and_removes(world: World, root: Path) -> None:
    mini(world, root, "")
    top = world.folder / "recipes/top.toml"
    top.write_text(TOP + 'install = ["plain"]\nremove = ["other"]\nhold = ["held"]\n')
    assert locked(world, top) == {"plain": ("1.0", True)}
    unpacked = tree(world, top)
    found = known(unpacked)
    assert "plain" in found
    assert "other" not in found
    status = (unpacked / STATUS).read_text()
    assert "Package: held\nStatus: hold ok installed\n" in status
    # A package more leaves the others as they are, and no mirror is asked.
    world.mirror.requests.clear()
    top.write_text(TOP + 'install = ["plain", "a-user"]\nremove = ["other"]\n')
    assert locked(world, top).keys() == {"plain", "a-user", "lib"}
    assert world.mirror.requests == []
    top.write_text(TOP + 'hold = ["hold"]\n')
    said = world.oven.said("build", "--no-probe", top, code=2)
    assert "the template has no package `hold` to hold" in said
    assert f"{top}:7:9" in said


def test_a_tarball_that_is_taken_as_it_is_asks_no_archive(world: World, root: Path) -> None:
    recipe = mini(world, root, "")
    world.oven.said("build", "--no-probe", "-o", world.out, recipe)
    assert world.mirror.requests == []
    manifest = json.loads((tree(world, recipe) / "usr/share/oven/manifest.json").read_text())
    assert (manifest["distro"], manifest["suite"]) == ("debian", "bookworm")


def test_a_distribution_that_takes_none_or_is_not_said(world: World, root: Path) -> None:
    recipe = mini(world, root, 'install = ["plain"]\n')
    text = recipe.read_text()
    base = '[base]\ndistro = "debian"\nsuite = "bookworm"\n'
    recipe.write_text(text.replace(base, ""))
    said = world.oven.said("lock", recipe, code=2)
    assert "on a tarball of which nobody knows the distribution\n" in said
    assert f"{recipe}:12:1" in said
    assert "`mini.toml` can say it: `[base]` with" in said
    rpm = '[base]\ndistro = "rockylinux"\nsuite = "9"\n'
    recipe.write_text(text.replace(base, rpm))
    assert "on a tarball of RPM packages\n" in world.oven.said("lock", recipe, code=2)
    recipe.write_text(text.replace(base, f'{base}arch = ["arm64"]\n'))
    said = world.oven.said("lock", recipe, code=2)
    assert "there is no tarball for `arm64`" in said
    assert f"{recipe}:13:9" in said


def write(path: str, text: str) -> Callable[[Path], object]:
    return lambda root: (root / path).write_text(text)


def replaced(old: str, new: str) -> Callable[[Path], object]:
    """Change dpkg's table."""

    def change(root: Path) -> None:
        text = (root / STATUS).read_text()
        assert old in text
        (root / STATUS).write_text(text.replace(old, new, 1))

    return change


def linked_out(root: Path) -> None:
    (root / STATUS).unlink()
    (root / STATUS).symlink_to("/etc/passwd")


@pytest.mark.parametrize(
    ("change", "problem", "line"),
    [
        (write("etc/os-release", 'ID="ubuntu"\n'), "that it is `ubuntu`, not Debian", 11),
        (
            write("etc/os-release", "ID=debian\nVERSION_CODENAME=trixie\n"),
            "that it is `trixie`, not `bookworm`",
            12,
        ),
        (lambda root: (root / "usr/bin/apt-get").unlink(), "has no `/usr/bin/apt-get`", 6),
        (lambda root: (root / STATUS).unlink(), f"has no `/{STATUS}`", 6),
        (
            replaced("Package: other\nStatus: install ok installed", "Package: other\nStatus: "
                     "install ok unpacked"),
            "has `other` half installed",
            6,
        ),
        (replaced("Package: other\n", "Package: o/../r\n"), "with what is none: 'o/../r'", 6),
        (replaced("Depends: lib\n", "Depends: lib\x1b[2J\n"), "with what is none: 'needs-lib'", 6),
        (
            lambda root: (root / STATUS).write_text(
                (root / STATUS).read_text()
                + "\nPackage: libc6\nStatus: install ok installed\nArchitecture: i386\nVersion: 1\n"
            ),
            "has packages for `i386`, which the recipe does not speak of",
            6,
        ),
        (linked_out, "tells of no package that is there", 6),
    ],
)  # fmt: skip
def test_a_tree_that_nothing_can_be_installed_on(
    world: World, root: Path, change: Callable[[Path], object], problem: str, line: int
) -> None:
    recipe = mini(world, root, 'install = ["plain"]\n', change)
    said = world.oven.said("lock", recipe, code=2)
    assert problem in said
    assert f"{recipe}:{line}:" in said
    assert not recipe.with_suffix(".lock").exists()


def test_a_table_says_nothing_to_apt_but_its_fields(world: World, root: Path) -> None:
    """A package that is none of the archive's may be there, and say what it likes elsewhere."""
    strange = (
        "\nPackage: strange\nStatus: hold ok installed\nArchitecture: all\nVersion: 1\n"
        "Description: no\n Package: evil\n .\nStatus-Of: x\nConfig-Version: \x07\n"
    )
    recipe = mini(
        world,
        root,
        'install = ["plain"]\n',
        lambda root: (root / STATUS).write_text((root / STATUS).read_text() + strange),
    )
    assert locked(world, recipe) == {"plain": ("1.0", True)}
    (told,) = (world.home / "cache").rglob("apt/*/var/lib/dpkg/status")
    text = told.read_text()
    assert "Package: strange\nStatus: hold ok installed\nArchitecture: all\nVersion: 1\n\n" in text
    assert "evil" not in text
