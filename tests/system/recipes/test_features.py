"""`[container]` of a recipe: the template tells what it asks for, and whoever runs it decides."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.builds.miniature import World, packages, small_world
from tests.support.needs import needs
from tests.support.packages.archive import Archive, serve

pytestmark = needs("root", "program:bwrap", "program:apt-ftparchive")


@pytest.fixture
def world(disk: Path) -> Iterator[World]:
    archive = Archive.make(disk / "honest", packages(disk / "honest-packages"))
    with serve(archive.root) as mirror:
        yield small_world(disk / "world", archive, mirror)


def test_a_template_asks_and_a_person_grants(world: World) -> None:
    world.recipe.write_text(world.recipe.read_text() + '\n[container]\nfeatures = ["nesting"]\n')
    world.oven.said(*world.line[3:])

    def made(name: str, *options: str) -> tuple[str, object]:
        said = world.oven.said("create", *options, name, "small")
        shown = world.oven.json("show", name)
        assert isinstance(shown, dict)
        return said, shown["features"]

    said, features = made("plain")
    assert "the template `small` asks for nesting: `--feature asked`" in said
    assert features == []
    assert made("granted", "--feature", "asked") == ("", ["nesting"])
    assert made("more", "--feature", "asked", "--feature", "tun") == ("", ["nesting", "tun"])
    assert made("less", "--feature", "none") == ("", [])
