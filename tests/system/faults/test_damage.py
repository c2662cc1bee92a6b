"""A cache in which a bit has flipped: found when it is used, named, and made again."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.builds.miniature import World, small_world
from tests.support.needs import needs
from tests.support.packages.archive import Archive, Mirror

pytestmark = needs("root", "program:bwrap", "program:apt-ftparchive", "library:libseccomp.so.2")


@pytest.fixture(scope="module")
def whole(disk: Path, miniature: tuple[Archive, Mirror]) -> Iterator[tuple[World, str]]:
    """A home in which the recipe was built, and the hash of what came out."""
    world = small_world(disk / "damage", *miniature)
    sha256 = world.sha256()
    yield world, sha256
    shutil.rmtree(world.folder)


@pytest.fixture
def world(whole: tuple[World, str]) -> Iterator[World]:
    """The same home for each test, as if no other had been."""
    built, _ = whole
    saved = built.save()
    yield built
    built.restore(saved)
    shutil.rmtree(saved)


def flip(path: Path) -> None:
    """Change one bit, as a disk does: nobody can tell by the file's times or length."""
    status = path.stat()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    with path.open("r+b") as file:
        file.write(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def forget(world: World, *kinds: str) -> None:
    """Remove all objects of some kinds, so that they have to be made of the others."""
    for kind in kinds:
        shutil.rmtree(store(world) / kind)


def store(world: World) -> Path:
    return world.home / "cache/v1"


def results(world: World, key: str) -> list[dict[str, str]]:
    """Give what stages have made whose results have a certain field."""
    notes = [path.read_bytes() for path in (store(world) / "actions").glob("*/*")]
    found = [json.loads(note.rpartition(b"\n")[0]) for note in notes]
    return [one for one in found if key in one and set(one) <= PACKED]


PACKED = {"sha256", "size", "uncompressed", "tree"}


def forget_packing(world: World) -> Path:
    """Remove only what packing has made; gives the tree that was packed."""
    [packed] = results(world, "uncompressed")
    for path in (store(world) / "actions").glob("*/*"):
        if b'"uncompressed"' in path.read_bytes():
            path.unlink()
    blob(world, packed["sha256"]).unlink()
    forget(world, "frames")
    return store(world) / "trees" / packed["tree"].removeprefix("sha256:")


def blob(world: World, sha256: str) -> Path:
    return store(world) / "blobs" / sha256[:2] / sha256


def package_file(world: World) -> Path:
    forget(world, "trees", "expanded", "actions")
    [lock] = (world.home / "cache/locks").iterdir()
    packages = json.loads(lock.read_bytes())["packages"]
    return blob(world, next(one["sha256"] for one in packages if one["name"] == "docs"))


def installed_package_file(world: World) -> Path:
    forget(world, "trees", "actions")
    [lock] = (world.home / "cache/locks").iterdir()
    packages = json.loads(lock.read_bytes())["packages"]
    return blob(world, next(one["sha256"] for one in packages if one["name"] == "plain"))


def overlay_file(world: World) -> Path:
    forget(world, "trees", "actions")
    found = [path for path in (store(world) / "blobs").glob("*/*") if path.stat().st_size < 100]
    assert len(found) == 1
    return found[0]


def packed_template(world: World) -> Path:
    [packed] = results(world, "uncompressed")
    return blob(world, packed["sha256"])


def file_of_one_tree(world: World) -> Path:
    return forget_packing(world) / "root/etc/issue"


def file_of_many_trees(world: World) -> Path:
    return forget_packing(world) / "root/usr/share/doc/1/about"


def manifest(world: World) -> Path:
    return forget_packing(world) / "manifest.json"


def expanded_file(world: World) -> Path:
    forget(world, "trees", "actions", "frames")
    [found] = (store(world) / "expanded").glob("*/package/root/usr/share/doc/1/about")
    return found


PLACES = [
    package_file,
    installed_package_file,
    overlay_file,
    packed_template,
    file_of_one_tree,
    file_of_many_trees,
    manifest,
    expanded_file,
]


@pytest.mark.parametrize("place", PLACES)
def test_a_flipped_bit_is_found_and_mended(
    world: World, whole: tuple[World, str], place: Callable[[World], Path]
) -> None:
    path = place(world)
    flip(path)
    seen = world.build()
    assert seen.code == 0, seen.stderr
    assert "damaged" in seen.stderr
    assert world.sha256() == whole[1]
    assert world.wrong() == []


def test_a_flipped_bit_in_a_note_costs_only_time(world: World, whole: tuple[World, str]) -> None:
    for path in sorted((store(world) / "actions").glob("*/*")):
        flip(path)
    assert world.sha256() == whole[1]
    assert world.wrong() == []
