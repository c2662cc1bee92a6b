"""An index that names packages which the mirror no longer has."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.builds.miniature import World, configure, small_world
from tests.support.needs import needs
from tests.support.packages.archive import Archive, Fault, Mirror, serve

pytestmark = needs("root", "program:bwrap", "program:apt-ftparchive", "library:libseccomp.so.2")

GONE = "/plain_1.0_all.deb"


@pytest.fixture
def world(disk: Path, miniature: tuple[Archive, Mirror]) -> Iterator[World]:
    """A home whose mirror is about to lose a package."""
    archive, _ = miniature
    with serve(archive.root) as mirror:
        world = small_world(disk / f"mirror-{os.urandom(3).hex()}", archive, mirror)
        yield world
    shutil.rmtree(world.folder)


def lock(world: World) -> None:
    """Write the lock beside the recipe, as a publisher does."""
    world.oven("lock", world.recipe)


def test_a_package_that_is_gone_is_named_with_what_to_do(world: World) -> None:
    lock(world)
    world.mirror.faults[GONE] = Fault(status=404)
    seen = world.build()
    assert seen.code == 4, seen.stderr
    assert "plain 1.0" in seen.stderr
    assert "oven lock small --update" in seen.stderr
    assert "Traceback" not in seen.stderr
    assert not list(world.out.iterdir())
    world.mirror.faults.clear()
    world.sha256()
    assert world.wrong() == []


def test_another_mirror_is_tried_before_it_counts_as_gone(world: World) -> None:
    lock(world)
    world.mirror.faults[GONE] = Fault(status=404)
    with serve(world.archive.root) as other:
        configure(world.home, [world.mirror, other], world.archive)
        world.sha256()
        assert len(other.asked(GONE)) == 1
    assert world.mirror.asked(GONE) == [""]
    assert world.wrong() == []


def test_an_index_that_is_stale_for_good_is_told(world: World) -> None:
    """Nobody has locked anything, and resolving anew gives the same package again."""
    world.mirror.faults[GONE] = Fault(status=404)
    seen = world.build()
    assert seen.code == 4, seen.stderr
    assert "plain 1.0" in seen.stderr.partition("error: ")[2]
    assert "Traceback" not in seen.stderr
