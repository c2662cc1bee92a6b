"""Secrets in templates: found in the final tree, with who made them, and cured by a recipe."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.builds.miniature import World, packages, small_recipe, small_world
from tests.support.needs import needs
from tests.support.packages.archive import Archive, Deb, serve

pytestmark = needs("root", "program:bwrap", "program:apt-ftparchive")

KEY = "-----BEGIN PRIVATE KEY-----\\nAAAA\\n-----END PRIVATE KEY-----\\n"
MAKES = f"#!/bin/sh\nset -e\nmkdir -p /var/lib/keys\nprintf '%b' '{KEY}' >/var/lib/keys/own.key\n"
CURES = "#!/bin/sh\nrm /var/lib/keys/own.key\n"
WRITES = f"#!/bin/sh\nprintf '%b' '{KEY}' >/etc/left.key\n"


@pytest.fixture(scope="module")
def archive(disk: Path) -> Archive:
    carried = disk / "carried"
    (carried / "opt/app/tests").mkdir(parents=True)
    (carried / "opt/app/tests/a.key").write_text(KEY.replace("\\n", "\n"))
    keys = Deb("keys", scripts={"postinst": MAKES})
    carries = Deb("carries", tree=carried)
    return Archive.make(disk / "archive", (*packages(disk / "packages"), keys, carries))


@pytest.fixture
def world(disk: Path, archive: Archive, tmp_path: Path) -> Iterator[World]:
    with serve(archive.root) as mirror:
        yield small_world(disk / tmp_path.name, archive, mirror)


def write(world: World, *wanted: str, more: str = "", **scripts: str) -> None:
    tables = "".join(f'\n[[script]]\npath = "{name}"\n' for name in scripts)
    small_recipe(world.folder, *wanted, more=f"{more}{tables}")
    for name, text in scripts.items():
        script = world.recipe.parent / "small" / name
        script.write_text(text)
        script.chmod(0o755)


def refused(world: World) -> str:
    return world.oven.said(*world.line[3:], code=6)


def test_a_package_that_makes_a_secret(world: World) -> None:
    write(world, "plain", "keys")
    said = refused(world)
    assert (
        "/var/lib/keys/own.key holds a private key: a maintainer script of the package `keys`"
        in said
    )
    assert "small.toml:10" in said
    assert '"keys"' in said
    assert '`[[allow]]` with `path = "/var/lib/keys/own.key"`' in said


def test_a_script_cures_what_a_package_left(world: World) -> None:
    write(world, "keys", cure=CURES)
    world.sha256()
    assert "./var/lib/keys/own.key" not in listed(world)


def test_a_package_that_has_a_key(world: World) -> None:
    write(world, "carries")
    said = refused(world)
    assert "/opt/app/tests/a.key holds a private key: a file of the package `carries`" in said
    write(world, "carries", more='\n[[allow]]\npath = "/opt/app/tests"\nreason = "for its tests"\n')
    world.sha256()
    assert "./opt/app/tests/a.key" in listed(world)


def test_a_script_that_leaves_a_key(world: World) -> None:
    write(world, "plain", leave=WRITES)
    said = refused(world)
    assert "/etc/left.key holds a private key: the script `leave` of `small`" in said
    assert "small.toml:13" in said


def test_a_key_of_the_overlay(world: World) -> None:
    write(world, "plain")
    file = world.recipe.parent / "small/overlay/etc/mine.key"
    file.write_text(KEY.replace("\\n", "\n"))
    said = refused(world)
    assert "/etc/mine.key holds a private key: `overlay/etc/mine.key` of `small`" in said
    assert str(file) in said


def test_what_is_allowed_needs_a_reason(world: World) -> None:
    write(world, "plain", more='\n[[allow]]\npath = "/etc/x"\nreason = " "\n')
    assert "is not a reason" in world.oven.said(*world.line[3:], code=2)
    write(world, "plain", more='\n[[allow]]\npath = "/"\nreason = "all"\n')
    assert "would let every secret" in world.oven.said(*world.line[3:], code=2)


def listed(world: World) -> list[str]:
    tarball = world.out / "small_amd64.tar.zst"
    done = subprocess.run(["tar", "-tf", tarball], capture_output=True, check=True, text=True)
    return done.stdout.splitlines()
