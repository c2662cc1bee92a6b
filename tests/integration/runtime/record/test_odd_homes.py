"""Homes of Oven that are called something odd: all that a container does works in them, too."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.model.progress import Silent
from builder.runtime.access import logs
from builder.runtime.access.exec import capture
from builder.runtime.history import clone, snapshots
from builder.runtime.history.clone import CloneRequest
from builder.runtime.lifecycle import control, create
from builder.runtime.record.container import Limits
from tests.support.containers.rig import Rig, rig_in
from tests.support.needs import needs

pytestmark = [
    pytest.mark.exhaustive,
    needs("root", "program:runc", "program:conmon", "program:mkfs.btrfs"),
]

NAMES = {
    "space": "my containers",
    "colon": "a:b",
    "comma": "a,b=c",
    "backslash": r"a\040b\n",
    "percent": "100%s",
    "quote": 'it\'s "so"',
    "letters": "Behälter",
    "newline": "a\nb",
}


@pytest.fixture(params=list(NAMES.values()), ids=list(NAMES))
def rig(request: pytest.FixtureRequest, tmp_path: Path, tree: Path) -> Iterator[Rig]:
    with rig_in(tmp_path / request.param, tree) as rig:
        yield rig
    assert rig.leftovers() == []


@pytest.mark.parametrize("disk", [None, 256 << 20], ids=["free", "limited"])
def test_a_container_lives_there(rig: Rig, disk: int | None) -> None:
    create.create(rig.places, rig.container(limits=Limits(disk=disk)))
    control.start(rig.places, "test", Silent())
    assert capture(rig.places, "test", ("sh", "-c", "echo kept > /kept"))[0] == 0
    assert "hello from the console" in logs.tail(rig.places, "test")
    snapshots.create(rig.places, "test", "one")
    clone.clone(rig.places, "test", CloneRequest("copy"), lambda _: None)
    control.stop(rig.places, "test", timeout=20)
    snapshots.restore(rig.places, "test", "one", discard=True)
    clone.rename(rig.places, "copy", "other")
    for name in ("test", "other"):
        control.start(rig.places, name, Silent())
        assert capture(rig.places, name, ("cat", "/kept")) == (0, "kept\n")
        control.destroy(rig.places, name, force=True)
