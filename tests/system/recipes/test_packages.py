"""What recipes say of packages besides their names, in locks and in trees."""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.builds.miniature import World, packages, small_recipe, small_world
from tests.support.needs import needs
from tests.support.packages.archive import Archive, Deb, Layout, serve

pytestmark = needs("root", "program:bwrap", "program:apt-ftparchive")

BACK = "bookworm-backports"
UPPER = """
from = "small"

[template]
name = "upper"

[packages]
"""
LEAVING = {"postrm": '#!/bin/sh\nset -e\necho "$1" >> /etc/left\n'}
LAYOUT = replace(Layout.with_backports(), components=("main", "non-free"))


def more_packages(folder: Path) -> tuple[Deb, ...]:
    (folder / "etc").mkdir(parents=True)
    (folder / "etc/agent.conf").write_text("x = 1\n")
    return (
        Deb("server", "", "1.0"),
        Deb("server", "", "1.1", suite="bookworm-updates"),
        Deb("server", "", "2.0", suite=BACK),
        Deb(
            "agent",
            "Provides: mail-agent\nConflicts: other",
            scripts={**LEAVING, "conffiles": "/etc/agent.conf\n"},
            tree=folder,
        ),
        Deb("other", "Provides: mail-agent\nConflicts: agent"),
        Deb("needs-agent", "Depends: mail-agent"),
        Deb("libboth", "Multi-Arch: same", arch="amd64"),
        Deb("libboth", "Multi-Arch: same", arch="i386"),
        Deb("firmware", component="non-free"),
    )


@pytest.fixture(scope="module")
def archive(disk: Path) -> Archive:
    debs = (*packages(disk / "packages"), *more_packages(disk / "more"))
    return Archive.make(disk / "archive", debs, LAYOUT)


@pytest.fixture
def world(disk: Path, archive: Archive, tmp_path: Path) -> Iterator[World]:
    with serve(archive.root) as mirror:
        yield small_world(disk / tmp_path.name, archive, mirror)


def upper(world: World, text: str) -> Path:
    path = world.folder / "recipes/upper.toml"
    path.write_text(UPPER + text)
    return path


def tree(world: World, recipe: Path) -> Path:
    """Build, and give what has come out, unpacked."""
    world.oven.said("build", "--no-probe", "-o", world.out, recipe)
    unpacked = world.folder / "unpacked"
    subprocess.run(["rm", "-rf", unpacked], check=True)
    unpacked.mkdir()
    tarball = world.out / f"{recipe.stem}_amd64.tar.zst"
    subprocess.run(["tar", "-xf", tarball, "-C", unpacked], check=True)
    return unpacked


def listed(unpacked: Path) -> set[tuple[str, str, str]]:
    """Give the packages that the manifest has."""
    manifest = json.loads((unpacked / "usr/share/oven/manifest.json").read_text())
    return {(one["name"], one["version"], one["arch"]) for one in manifest["packages"]}


def known(unpacked: Path) -> set[tuple[str, str, str]]:
    """Give those that dpkg holds for installed."""
    query = ("dpkg-query", f"--admindir={unpacked}/var/lib/dpkg", "-W")
    shown = "-f=${Package} ${Version} ${Architecture} ${db:Status-Status}\\n"
    lines = subprocess.run([*query, shown], capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in lines.splitlines()]
    return {(name, version, arch) for name, version, arch, state in rows if state == "installed"}


def refused(world: World, recipe: Path, at: str) -> str:
    """Give the error, which must point to the line that has `at` in it."""
    said = world.oven.said("lock", "--update", recipe, code=2)
    text = recipe.read_text()
    assert f"{recipe}:{1 + text[: text.index(at)].count(chr(10))}:" in said, said
    assert "bwrap" not in said
    assert "apt-get" not in said
    return said


def test_versions_pockets_and_holds_are_in_the_template(world: World) -> None:
    recipe = small_recipe(
        world.folder, f"server/{BACK}", "plain=1.*", more='hold = ["server", "plain"]\n'
    )
    unpacked = tree(world, recipe)
    assert ("server", "2.0", "all") in listed(unpacked) == known(unpacked)
    status = (unpacked / "var/lib/dpkg/status").read_text()
    assert status.count("Status: hold ok installed") == 2
    source = (unpacked / f"etc/apt/sources.list.d/{BACK}.sources").read_text()
    assert f"Suites: {BACK}\nComponents: main\nSigned-By: " in source
    assert "127.0.0.1" not in source
    world.oven.said("lock", recipe)
    world.oven.said("lock", "--check", recipe)
    world.oven.said("outdated", recipe)
    world.oven.said("build", "--locked", "--no-probe", recipe)
    small_recipe(world.folder, "server=1.0", "plain=1.*")
    said = world.oven.said("lock", "--check", recipe, code=2)
    assert "the lock is stale: `packages.install` changed" in said
    assert not (tree(world, recipe) / f"etc/apt/sources.list.d/{BACK}.sources").exists()


def test_a_layer_removes_and_replaces_what_is_below(world: World) -> None:
    small_recipe(world.folder, "agent", "needs-agent")
    recipe = upper(world, 'install = ["other"]\nremove = ["agent"]\n')
    unpacked = tree(world, recipe)
    names = {name for name, *_ in listed(unpacked)}
    assert listed(unpacked) == known(unpacked)
    assert {"other", "needs-agent"} < names
    assert "agent" not in names
    assert not (unpacked / "etc/agent.conf").exists()
    assert (unpacked / "etc/left").read_text() == "remove\npurge\n"
    world.oven.said("lock", recipe)
    world.oven.said("lock", "--check", recipe)
    recipe.write_text(recipe.read_text().replace('remove = ["agent"]\n', ""))
    said = world.oven.said("lock", "--check", recipe, code=2)
    assert "`packages.remove`" in said
    said = refused(world, recipe, "install")
    assert "`other` cannot be installed beside `agent`" in said
    assert '`remove = ["agent"]` in `[packages]`' in said


def test_a_layer_only_removes(world: World) -> None:
    small_recipe(world.folder, "agent", "plain")
    unpacked = tree(world, upper(world, 'remove = ["agent"]\n'))
    assert "agent" not in {name for name, *_ in listed(unpacked)}
    assert listed(unpacked) == known(unpacked)


def test_a_foreign_architecture_is_kept_in_the_template(world: World) -> None:
    recipe = small_recipe(world.folder, "libboth", "libboth:i386", "plain")
    unpacked = tree(world, recipe)
    assert {("libboth", "1.0", "amd64"), ("libboth", "1.0", "i386")} < listed(unpacked)
    assert listed(unpacked) == known(unpacked)
    assert (unpacked / "var/lib/dpkg/arch").read_text().split() == ["amd64", "i386"]


def test_the_manifest_has_what_scripts_leave(world: World) -> None:
    script = '\n[[script]]\npath = "change"\n'
    recipe = small_recipe(world.folder, "agent", "plain", more=script)
    folder = world.folder / "recipes/small"
    (folder / "change").write_text("#!/bin/sh\nset -e\ndpkg --purge agent\n")
    (folder / "change").chmod(0o755)
    unpacked = tree(world, recipe)
    assert "agent" not in {name for name, *_ in listed(unpacked)}
    assert listed(unpacked) == known(unpacked)
    again = world.oven.said("build", "--no-probe", "--explain", recipe)
    assert "runs" not in again


@pytest.mark.parametrize(
    ("lines", "at", "problem", "hint"),
    [
        ('install = ["serve"]', "serve", "no package `serve`", "did you mean `server`?"),
        ('install = ["server=3"]', "server=3", "no version `3` of `server`", "`1.1`"),
        ('install = ["plain",\n"mail-agent"]', '"mail', "several stand in", "`agent`, `other`"),
        ('install = ["agent",\n"other"]', '"other', "beside each other", "take one of them out"),
        (
            'install = ["plain",\n"firmware"]',
            '"firmware',
            "no package `firmware`",
            'it is in `non-free`: write `components = ["main", "non-free"]` in `[base]`',
        ),
        ('remove = ["nothing"]', "nothing", "no package `nothing`", "searched"),
        ('install = ["plain", "plain=1*"]', "plain=1", "asked for in two ways", "keep `plain`"),
        ('install = ["plain"]\nremove = ["plain"]', "remove", "in both `remove` and", "one of"),
        ('install = ["plain",\n"@Big Tools"]', '"@Big', "a group, as dnf has", "`big-tools^`"),
        ('install = ["plain^x"]', "plain^x", "a package to install", "`libc6:i386`"),
    ],
)
def test_what_cannot_be_had_points_to_its_line(
    world: World, lines: str, at: str, problem: str, hint: str
) -> None:
    small_recipe(world.folder)
    recipe = upper(world, lines + "\n")
    said = refused(world, recipe, at)
    assert problem in said
    assert hint in said


def test_only_what_is_there_is_held(world: World) -> None:
    recipe = small_recipe(world.folder, "plain", more='hold = ["plan"]\n')
    said = world.oven.said("build", "--no-probe", recipe, code=2)
    assert "the template has no package `plan` to hold" in said
    assert f"{recipe}:" in said


def test_it_is_the_same_twice(world: World) -> None:
    small_recipe(world.folder, "agent", "needs-agent", f"server/{BACK}")
    more = 'install = ["other", "libboth", "libboth:i386"]\nremove = ["agent"]\nhold = ["plain"]\n'
    recipe = upper(world, more.replace('hold = ["plain"]', 'hold = ["other"]'))
    world.oven("prove", recipe)
