"""A disk that is full at any step of what moves layers: old or new, and nothing is lost."""

from collections.abc import Callable
from pathlib import Path

import pytest

from builder.distros.identity import forget_identity
from builder.model.errors import HostError
from builder.model.progress import Silent
from builder.runtime.history import clone, schedule, snapshots
from builder.runtime.history.clone import CloneRequest
from builder.runtime.lifecycle import control, create
from builder.runtime.record.container import all_names, load
from builder.runtime.upgrade import upgrade
from tests.support.containers.rig import DIGEST, Rig
from tests.support.containers.templates import add, describe
from tests.support.containers.upgrades import NEW, order
from tests.support.faults.filler import PAGE, Filler
from tests.support.needs import needs

pytestmark = [pytest.mark.exhaustive, needs("root", "program:runc", "program:conmon")]

MOST = 24
"""Pages that every verb can do with."""


@pytest.fixture
def rig(small: Rig, tree: Path) -> Rig:
    describe(small)
    add(small, NEW, tree)
    return small


def snapshot(rig: Rig) -> None:
    snapshots.create(rig.places, "test", "new")


def restore(rig: Rig) -> None:
    snapshots.restore(rig.places, "test", "old")


def copy(rig: Rig) -> None:
    clone.clone(rig.places, "test", CloneRequest("copy"), forget_identity)


def renew(rig: Rig) -> None:
    upgrade.upgrade(rig.places, "test", order(rig, start=False), Silent())


CASES = (
    (snapshot, False),
    (snapshot, True),
    (restore, False),
    (copy, False),
    (copy, True),
    (renew, False),
)


@pytest.mark.parametrize(("verb", "running"), CASES)
def test_no_loss(rig: Rig, verb: Callable[[Rig], None], *, running: bool) -> None:
    filler, failed, done = Filler(rig), 0, 0
    for pages in range(MOST):
        begin(rig, running=running)
        filler.leave(pages)
        try:
            verb(rig)
            done += 1
        except HostError as error:
            failed += 1
            assert "space" in f"{error.problem} {error.hint}"
        filler.free()
        schedule.write(rig.places, "test", None)
        check(rig)
        for name in all_names(rig.places):
            control.destroy(rig.places, name, force=True)
    assert failed > 2
    assert done > 0


def begin(rig: Rig, *, running: bool) -> None:
    """Make a container with a snapshot, and something that is in none."""
    create.create(rig.places, rig.container())
    upper = rig.places.data / "containers/test/upper"
    (upper / "a").write_text("1")
    snapshots.create(rig.places, "test", "old")
    (upper / "b").write_bytes(b"2" * 3 * PAGE)
    if running:
        control.start(rig.places, "test", Silent())


def check(rig: Rig) -> None:
    folder = rig.places.data / "containers/test"
    assert not (folder / "change.json").exists()
    assert not (folder / "drafts").exists()
    record, kept = load(rig.places, "test"), snapshots.listed(rig.places, "test")
    assert "old" in kept
    assert record.template in {DIGEST, NEW}
    tops = [folder / "upper", *(folder / "layers" / layer for layer in record.layers)]
    tops += [folder / "layers" / layer for one in kept.values() for layer in one.layers]
    found = {
        path.name: path.read_bytes() for top in tops for path in top.iterdir() if path.is_file()
    }
    assert found["a"] == b"1"
    assert found["b"] == b"2" * 3 * PAGE
    named = {layer for one in kept.values() for layer in one.layers} | set(record.layers)
    assert {path.name for path in (folder / "layers").iterdir()} == named
