"""`[[file]]` of a recipe: in the tarball that is built, and in errors with the line."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.builds.miniature import World, packages, small_world
from tests.support.needs import needs
from tests.support.packages.archive import Archive, serve

pytestmark = needs("root", "program:bwrap", "program:apt-ftparchive")

FILE = """
[[file]]
path = "/etc/passwd"
owner = {owner}
mode = "0640"
"""


@pytest.fixture
def world(disk: Path) -> Iterator[World]:
    archive = Archive.make(disk / "honest", packages(disk / "honest-packages"))
    with serve(archive.root) as mirror:
        yield small_world(disk / "world", archive, mirror)


def test_a_template_has_the_rights_that_its_recipe_asks_for(world: World) -> None:
    recipe = world.recipe.read_text()
    world.recipe.write_text(recipe + FILE.format(owner=7))
    world.oven.said(*world.line[3:])
    argv = ("tar", "-tvf", world.out / "small_amd64.tar.zst", "--numeric-owner", "./etc/passwd")
    listed = subprocess.run(argv, capture_output=True, check=True, text=True).stdout
    assert listed.startswith("-rw-r----- 7/0 ")

    world.recipe.write_text(recipe + FILE.format(owner='"rooot"'))
    said = world.oven.said(*world.line[3:], code=2)
    line = 1 + world.recipe.read_text()[: world.recipe.read_text().index("rooot")].count("\n")
    assert "the account `rooot` does not exist" in said
    assert f"{world.recipe}:{line}:" in said
    assert "did you mean `root`?" in said
