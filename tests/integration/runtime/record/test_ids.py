"""Ranges of ids are one container's on the whole host, also where homes know nothing of another."""

import itertools
import json
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from builder.model.progress import Silent
from builder.runtime.access.exec import capture
from builder.runtime.lifecycle import control, create
from builder.runtime.record import ids
from builder.runtime.record.container import IDS, load
from tests.support.containers.rig import Rig, rig_in
from tests.support.needs import needs
from tests.support.oven import Oven

# They make all homes of the host forget whose ids are whose.
pytestmark = [pytest.mark.alone, needs("root", "program:runc", "program:conmon")]


@pytest.fixture
def homes(tmp_path: Path, tree: Path) -> Iterator[tuple[Rig, Rig]]:
    with ExitStack() as stack:
        one, two = (stack.enter_context(rig_in(tmp_path / name, tree)) for name in ("a", "b"))
        yield one, two
    assert [*one.leftovers(), *two.leftovers()] == []


def first_of(rig: Rig) -> int:
    return load(rig.places, "test").first_id


def make(rig: Rig) -> int:
    return create.create(rig.places, rig.container()).first_id


def after_a_boot() -> None:
    """Forget what all homes have claimed, as a boot of the host does."""
    for claim in ids.CLAIMS.glob("[0-9]*"):
        claim.unlink()


def test_two_homes_have_different_ranges(homes: tuple[Rig, Rig]) -> None:
    first, second = (make(rig) for rig in homes)
    assert abs(first - second) >= IDS


def test_who_starts_first_after_a_boot_keeps_its_range(homes: tuple[Rig, Rig]) -> None:
    one, two = homes
    after_a_boot()
    make(one)
    after_a_boot()
    make(two)
    assert first_of(one) == first_of(two), "neither knew of the other"
    control.start(two.places, "test", Silent())
    control.start(one.places, "test", Silent())
    assert abs(first_of(one) - first_of(two)) >= IDS
    for rig in homes:
        said = capture(rig.places, "test", ("cat", "/proc/self/uid_map"))[1].split()
        assert said == ["0", str(first_of(rig)), str(IDS)]


def test_files_keep_their_owners_in_another_range(homes: tuple[Rig, Rig]) -> None:
    one, two = homes
    make(one)
    control.start(one.places, "test", Silent())
    capture(one.places, "test", ("sh", "-c", "echo x >/tmp/x; chown 1000:50 /tmp/x"))
    control.stop(one.places, "test")
    before = first_of(one)
    after_a_boot()
    make(two)
    control.start(one.places, "test", Silent())
    assert first_of(one) != before
    said = capture(one.places, "test", ("stat", "-c", "%u:%g", "/tmp/x", "/etc/passwd"))[1]
    assert said.split() == ["1000:50", "0:0"]


def test_a_range_is_given_back(homes: tuple[Rig, Rig]) -> None:
    one, two = homes
    first = make(one)
    control.destroy(one.places, "test")
    assert not (ids.CLAIMS / str(first)).exists()
    assert make(two) == first


def test_a_claim_of_a_container_that_is_gone_is_taken_over(homes: tuple[Rig, Rig]) -> None:
    one, two = homes
    first = make(one)
    claim = ids.CLAIMS / str(first)
    lost = str(one.places.data / "containers/lost")
    control.destroy(one.places, "test")
    claim.write_text(lost)
    assert make(two) != first, "it may be about to be made"
    control.destroy(two.places, "test")
    os.utime(claim, (0, 0))
    assert make(two) == first
    assert claim.read_text() == str(two.places.data / "containers/test")


def test_a_damaged_record_elsewhere_keeps_its_range(homes: tuple[Rig, Rig]) -> None:
    one, two = homes
    first = make(one)
    record = one.places.data / "containers/test/container.json"
    whole = record.read_bytes()
    record.write_text(json.dumps({"broken": True}))
    os.utime(ids.CLAIMS / str(first), (0, 0))
    try:
        assert make(two) != first
    finally:
        record.write_bytes(whole)


def test_a_container_may_have_more(rig: Rig, oven: Oven) -> None:
    create.create(rig.places, rig.container("one"))
    create.create(rig.places, rig.container("test"))
    oven("set", "test", "--ids", "100000")
    create.create(rig.places, rig.container("two"))
    control.start(rig.places, "test", Silent())
    record = load(rig.places, "test")
    assert record.ids == 2 * 65536
    ranges = sorted(
        (one.first_id, one.first_id + one.ids)
        for one in (load(rig.places, name) for name in ("one", "test", "two"))
    )
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(ranges))
    script = "touch /x; chown 131071:131071 /x; stat -c %u:%g /x; exec chown 131072 /x"
    code, said = capture(rig.places, "test", ("sh", "-c", script))
    assert (code != 0, said.splitlines()[0]) == (True, "131071:131071")
    oven("cp", "--archive", "test:/x", rig.places.data / "x")
    assert (rig.places.data / "x").stat().st_uid == 131071
    control.destroy(rig.places, "test", force=True)
    assert not (ids.CLAIMS / str(record.first_id + 65536)).exists()


@pytest.mark.parametrize("word", ["0", "2000000", "many"])
def test_so_many_are_refused(rig: Rig, oven: Oven, word: str) -> None:
    create.create(rig.places, rig.container("test"))
    assert f"`--ids {word}` is not a number" in oven.said("set", "test", "--ids", word, code=2)
