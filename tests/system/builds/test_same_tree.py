"""The same tree as the reference tools make of the same packages, but for a short list."""

import functools
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from builder.model.lock import Lock
from builder.model.recipe import Recipe
from builder.recipes.load import load_file
from tests.support.builds.reference_tools import TOOLS, make_archive
from tests.support.needs import needs
from tests.support.oven import CHECKOUT, Oven
from tests.support.trees.whole_trees import Difference, Facts, differences, facts_of
from tests.system.builds.known_differences import KNOWN, masked
from tests.system.conftest import Built

pytestmark = [
    needs("root", "archive", "program:mmdebstrap", "program:debootstrap"),
    needs("program:apt-ftparchive"),
    # Debian's tools take half a minute for each of the trees.
    pytest.mark.slow,
]

RECIPES = sorted((CHECKOUT / "recipes").glob("debian-*.toml"))
RUNS = [(recipe.stem, tool) for recipe in RECIPES for tool in TOOLS]

Found = Callable[[str, str], tuple[Difference, ...]]


@pytest.fixture(scope="module")
def found(oven: Oven, built: Built, disk: Path) -> Found:
    """Give a function that tells the differences of a template from a tool's tree."""
    folder = disk / "same-tree"
    folder.mkdir()

    @functools.cache
    def lock_of(name: str) -> Lock:
        built(name)
        (file,) = (oven.home / "cache/locks").glob(f"{name}-*.json")
        return msgspec.json.decode(file.read_bytes(), type=Lock)

    @functools.cache
    def ours(name: str) -> dict[str, Facts]:
        return packed_facts(oven, name, lock_of(name), folder / name)

    @functools.cache
    def archive(name: str) -> Path:
        return make_archive(lock_of(name), oven.home / "cache/v1/blobs", folder / f"{name}.archive")

    @functools.cache
    def compare(name: str, tool: str) -> tuple[Difference, ...]:
        lock, tree = lock_of(name), folder / f"{name}.{tool}"
        TOOLS[tool](lock, archive(name), tree)
        theirs = facts_of(tree, epoch=lock.epoch)
        shutil.rmtree(tree)
        return tuple(differences(ours(name), theirs))

    return compare


def packed_facts(oven: Oven, name: str, lock: Lock, folder: Path) -> dict[str, Facts]:
    """Unpack a template with GNU tar, as whoever is given the tarball may do, and read it."""
    oven("build", "--no-probe", "-o", folder, name)
    (tarball,) = folder.glob("*.tar.zst")
    tree = folder / "tree"
    tree.mkdir()
    options = ("--zstd", "--numeric-owner", "--xattrs", "--xattrs-include=*", "--acls")
    subprocess.run(["tar", *options, "-xpf", tarball, "-C", tree], check=True)
    return facts_of(tree, epoch=lock.epoch)


def recipe_of(name: str) -> Recipe:
    return load_file(CHECKOUT / "recipes" / f"{name}.toml").recipe


@pytest.mark.parametrize(("name", "tool"), RUNS)
def test_every_difference_has_a_reason(found: Found, name: str, tool: str) -> None:
    suite, units = name.removeprefix("debian-"), masked(recipe_of(name))
    known = [one for one in KNOWN if one.concerns(suite, tool)]
    unknown = [
        str(difference)
        for difference in found(name, tool)
        if not any(one.covers(difference) for one in known)
        and not (difference.what == "extra" and difference.path in units)
    ]
    assert unknown == []


@pytest.mark.parametrize(("name", "tool"), RUNS)
def test_every_reason_is_still_needed(found: Found, name: str, tool: str) -> None:
    suite = name.removeprefix("debian-")
    unneeded = [
        one
        for one in KNOWN
        if one.concerns(suite, tool) and not any(map(one.covers, found(name, tool)))
    ]
    assert unneeded == []


@pytest.mark.parametrize(("name", "tool"), RUNS)
def test_the_comparison_sees_what_the_recipe_masks(found: Found, name: str, tool: str) -> None:
    extra = {one.path for one in found(name, tool) if one.what == "extra"}
    assert masked(recipe_of(name)) <= extra
