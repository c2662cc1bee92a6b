"""Devices on hosts whose kernel lets through for good what was allowed at a container's start."""

from pathlib import Path

import msgspec
import pytest

from builder.host.places import Places
from builder.runtime.bundle import devices, live_devices
from builder.runtime.bundle.live_devices import Plan
from builder.runtime.record import given
from builder.runtime.record.container import Container
from builder.runtime.record.layout import volatile_of
from tests.support.containers.oci import CONTAINER

BARE = msgspec.structs.replace(CONTAINER, features=(), devices=())
WISH = msgspec.structs.replace(BARE, features=("fuse", "nesting"), devices=("/dev/sdx",))
USUAL = {(10, 200), (10, 229), (1, 11)}


@pytest.fixture
def places(tmp_path: Path) -> Places:
    made = Places(data=tmp_path, cache=tmp_path, runtime=tmp_path / "run", settings=())
    volatile_of(made, BARE.name).mkdir(parents=True)
    return made


@pytest.mark.parametrize("filtered", [True, False])
def test_what_features_bring_passes_where_it_cannot_later(
    monkeypatch: pytest.MonkeyPatch, *, filtered: bool
) -> None:
    monkeypatch.setattr(devices, "filtered", lambda: filtered)
    numbers = {(rule["major"], rule["minor"]) for rule in devices.rules(BARE)}
    assert numbers == (USUAL if filtered else set())


@pytest.mark.parametrize(
    ("filtered", "known", "plan"),
    [
        (False, True, Plan(give=("/dev/fuse", "/dev/sdx"))),
        (True, True, Plan(give=("/dev/fuse",), late=("/dev/sdx",))),
        # An older Oven has started it, and let nothing more through.
        (True, False, Plan(late=("/dev/fuse", "/dev/sdx"))),
    ],
)
def test_what_is_given_at_once(
    monkeypatch: pytest.MonkeyPatch, places: Places, *, filtered: bool, known: bool, plan: Plan
) -> None:
    monkeypatch.setattr(devices, "filtered", lambda: filtered)
    if known:
        given.write(places, BARE.name, given.at_start(BARE))
    assert live_devices.plan(places, WISH, BARE) == plan


def test_what_it_has_is_taken_away_everywhere(
    monkeypatch: pytest.MonkeyPatch, places: Places
) -> None:
    monkeypatch.setattr(devices, "filtered", lambda: True)
    had: Container = WISH
    given.write(places, had.name, given.at_start(had))
    assert live_devices.plan(places, BARE, had) == Plan(take=("/dev/fuse", "/dev/sdx"))
