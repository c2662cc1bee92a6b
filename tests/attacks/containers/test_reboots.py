"""A container that reboots over and over takes neither the host's time nor its memory of others."""

import time
from pathlib import Path

import pytest

from builder.model.errors import StageError
from builder.model.progress import Silent
from builder.runtime.inspect import show
from builder.runtime.lifecycle import control, create
from builder.runtime.record import events, state
from builder.runtime.record.container import Limits
from builder.runtime.record.layout import folder_of
from tests.support.containers.rig import INIT, Rig, add_program, put_init
from tests.support.needs import needs

pytestmark = needs("root", "program:runc", "program:conmon", "program:busybox")

PATIENCE = 20.0
REBOOTS = "#!/bin/sh\nexec busybox reboot -f\n"


@pytest.fixture(scope="module")
def tree(tree: Path) -> Path:
    add_program(tree, "busybox")
    return tree


def test_an_init_that_reboots_at_once_waits_longer_each_time(rig: Rig) -> None:
    """H9: 59 starts in 13 seconds, which the host's root paid for, whatever `--cpus` said."""
    create.create(rig.places, rig.container(limits=Limits(cpus=0.5)))
    put_init(folder_of(rig.places, "test") / "upper", REBOOTS)
    with pytest.raises(StageError, match="ended before it was ready"):
        control.start(rig.places, "test", Silent())
    pauses = waited_for(rig, 2)
    assert pauses == [0.5, 1.0]
    assert [event.what for event in events.read(rig.places)].count("started") <= 5
    control.stop(rig.places, "test", timeout=PATIENCE)
    assert show.show(rig.places, "test").status == "stopped"


def waited_for(rig: Rig, count: int) -> list[object]:
    """Wait for so many pauses and give their seconds."""
    deadline = time.monotonic() + PATIENCE
    for event in events.follow(rig.places):
        assert time.monotonic() < deadline
        if event.what == "waiting":
            found = [one for one in events.read(rig.places) if one.what == "waiting"]
            if len(found) >= count:
                return [one.details["seconds"] for one in found[:count]]
    raise AssertionError


def test_a_pause_after_reboots_ends_when_asked(rig: Rig) -> None:
    """H9: whoever has mended such a container starts it at once, and it counts anew."""
    create.create(rig.places, rig.container())
    upper = folder_of(rig.places, "test") / "upper"
    put_init(upper, REBOOTS)
    with pytest.raises(StageError):
        control.start(rig.places, "test", Silent())
    waited_for(rig, 1)
    control.stop(rig.places, "test", timeout=PATIENCE)
    put_init(upper, INIT)
    control.start(rig.places, "test", Silent())
    current = state.read(rig.places, "test")
    assert current is not None
    assert (current.again, current.reboots) == (0, 0)


def test_events_of_others_outlive_those_of_one(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """H9: what one container told overwrote the ring of events, and with it its neighbors'."""
    monkeypatch.setattr(events, "LIMIT", 4_000)
    events.record(rig.places, "neighbor", "failed", reason="something to look into")
    for number in range(400):
        events.record(rig.places, "test", "ended", code=129, how="reboot", number=number)
    told = list(events.read(rig.places))
    assert [event.name for event in told].count("neighbor") == 1
    assert told[0].name == "neighbor"
    assert told[-1].details["number"] == 399
    numbers = [str(event.details["number"]).zfill(3) for event in told[1:]]
    assert numbers == sorted(set(numbers))
    sizes = [path.stat().st_size for path in rig.places.data.glob("events*")]
    assert sum(sizes) < 3 * 4_200
