"""What tests of containers begin with; a file that needs more adds to it under the same name."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.containers.rig import Rig, rig_in, tiny_tree
from tests.support.oven import Oven


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree that runs a shell, of which each file of tests has its own."""
    return tiny_tree(tmp_path_factory.mktemp("tiny") / "rootfs")


@pytest.fixture
def rig(tmp_path: Path, tree: Path) -> Iterator[Rig]:
    """Places with that tree as the template, and no container yet; none leaves anything."""
    with rig_in(tmp_path / "home", tree) as rig:
        yield rig
    assert rig.leftovers() == []


@pytest.fixture
def small(tmp_path: Path, tree: Path) -> Iterator[Rig]:
    """The same on a disk of 4 MB."""
    disk = tmp_path / "d"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", disk], check=True)
    try:
        with rig_in(disk / "h", tree) as rig:
            yield rig
        assert rig.leftovers() == []
    finally:
        subprocess.run(["umount", disk], check=True)


@pytest.fixture
def oven(rig: Rig) -> Oven:
    """The command as it works on the rig's containers."""
    return Oven(rig.places.data)
