"""What a build did and said is there afterwards, whoever watched it."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.store.logs import KEPT
from tests.support.builds.miniature import World, packages, small_recipe, small_world
from tests.support.needs import needs
from tests.support.oven import text
from tests.support.packages.archive import Archive, Deb, serve

pytestmark = needs("root", "program:bwrap", "program:apt-ftparchive")

TALKING = {"postinst": '#!/bin/sh\nset -e\necho "set up by $1"\n'}
SCRIPT = '[[script]]\npath = "setup"\n'


@pytest.fixture(scope="module")
def archive(disk: Path) -> Archive:
    talking = Deb("talking", scripts=TALKING)
    return Archive.make(disk / "archive", (*packages(disk / "packages"), talking))


@pytest.fixture
def world(disk: Path, archive: Archive, tmp_path: Path) -> Iterator[World]:
    with serve(archive.root) as mirror:
        yield small_world(disk / tmp_path.name, archive, mirror)


def recipe(world: World, script: str) -> Path:
    path = small_recipe(world.folder, "talking", more=SCRIPT)
    file = path.parent / "small/setup"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return path


def newest(world: World) -> str:
    return text(world.oven("cache", "logs", "small").stdout)


def test_what_stages_packages_and_scripts_said_is_kept(world: World) -> None:
    said = world.oven.said("build", "--no-probe", recipe(world, "echo hello from the script"))
    assert "hello from" not in said
    lines = newest(world).splitlines()
    told = [line.partition(" ")[2] for line in lines]
    assert "  hello from the script" in told
    assert "  set up by configure" in told
    assert any(line.startswith("+ bwrap") for line in told)
    assert any(line.startswith("bootstrap bookworm: runs, first time") for line in told)
    assert told[-1] == "built"


def test_a_failed_build_names_its_log_which_has_all_of_it(world: World) -> None:
    script = "i=0; while [ $i -lt 100 ]; do i=$((i + 1)); echo line $i; done; exit 3"
    said = world.oven.said("build", "--no-probe", recipe(world, script), code=6)
    assert "  | line 1\n" not in said
    (log,) = (world.home / "cache/v1/logs").iterdir()
    assert f"\nlog: {log}\n" in said
    assert "   line 1\n" in newest(world)
    assert newest(world).endswith(" failed: the script `setup` failed\n")
    listed = text(world.oven("cache", "logs").stdout)
    assert "failed: the script `setup` failed" in listed


def test_a_build_with_nothing_to_do_leaves_none(world: World) -> None:
    path = recipe(world, "echo 1")
    world.oven("build", "--no-probe", path)
    before = newest(world)
    world.oven("build", "--no-probe", path)
    assert newest(world) == before
    assert len(list((world.home / "cache/v1/logs").iterdir())) == 1


def test_the_last_few_stay_until_the_cache_is_pruned(world: World) -> None:
    folder = world.home / "cache/v1/logs"
    world.oven("build", "--no-probe", recipe(world, "exit 1"), code=6)
    for day in range(1, 10):
        (folder / f"small_amd64_2024010{day}T000000Z-1.log").write_text("00:00:00 built\n")
    (folder / "smaller_amd64_20240101T000000Z-1.log").write_text("00:00:00 built\n")
    world.oven("build", "--no-probe", recipe(world, "exit 2"), code=6)
    names = sorted(path.name for path in folder.glob("small_*"))
    assert len(names) == KEPT
    assert names[0].startswith("small_amd64_20240107")
    assert (folder / "smaller_amd64_20240101T000000Z-1.log").exists()
    for path in folder.iterdir():
        os.utime(path, (1e9, 1e9))
    world.oven("cache", "prune", "--days", "7")
    assert list(folder.iterdir()) == []


def test_no_log_is_an_error_with_a_way_on(world: World) -> None:
    said = world.oven.said("cache", "logs", "small", code=7)
    assert said.startswith("error: there is no log of a build of `small`\n")
