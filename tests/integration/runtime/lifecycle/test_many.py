"""Verbs that are given many containers: one that fails does not keep the others from it."""

import msgspec
import pytest

from builder.runtime.lifecycle import create
from builder.runtime.record.container import Autostart
from builder.runtime.record.layout import folder_of
from tests.support.containers.rig import Rig
from tests.support.needs import needs
from tests.support.oven import Oven, text

pytestmark = needs("root", "program:runc", "program:conmon")

NAMES = ("one", "two", "three")


@pytest.fixture
def rig(rig: Rig) -> Rig:
    for order, name in enumerate(NAMES):
        starts = msgspec.structs.replace(rig.container(name), autostart=Autostart(order=order))
        create.create(rig.places, starts)
    return rig


def statuses(oven: Oven) -> dict[str, str]:
    lines = text(oven("list", "--format", "{name} {status}").stdout).splitlines()
    return {line.split()[0]: line.split()[1] for line in lines}


def test_one_that_does_not_start_or_stop_keeps_no_other(rig: Rig) -> None:
    oven = Oven(rig.places.data)
    note = folder_of(rig.places, "one") / "change.json"
    note.write_text("no record")
    assert "damaged" in oven.said("start", "--autostart", code=3)
    assert statuses(oven) == {"one": "stopped", "two": "running", "three": "running"}
    (folder_of(rig.places, "three") / "change.json").write_text("no record")
    note.unlink()
    oven("start", "one")
    assert "damaged" in oven.said("stop", "--all", code=3)
    assert statuses(oven) == {"one": "stopped", "two": "stopped", "three": "running"}
    (folder_of(rig.places, "three") / "change.json").unlink()


@pytest.mark.parametrize("verb", ["freeze", "thaw", "destroy"])
def test_others_are_done_in_turn(rig: Rig, verb: str) -> None:
    oven = Oven(rig.places.data)
    if verb != "destroy":
        oven("start", "two")
    oven(verb, "none", "two", code=7)
    assert statuses(oven).get("two") == {"freeze": "frozen", "thaw": "running"}.get(verb)
