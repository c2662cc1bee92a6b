"""The schedule of snapshots: how often each container gets one, and how many are kept."""

import time
from collections.abc import Iterator
from typing import Annotated

import msgspec

from builder.host import units
from builder.host.places import Places
from builder.host.trees import durable
from builder.host.units import Systemd
from builder.model.errors import HostError, NotFoundError, OvenError
from builder.model.unit_file import UnitFile
from builder.model.value import Value, canonical
from builder.runtime.history import snapshots
from builder.runtime.record import layout
from builder.runtime.record.container import all_names, check_name, load
from builder.runtime.record.layout import folder_of
from builder.runtime.recovery import repair

SHORTEST = 300
"""Seconds between two snapshots at least: the timer looks so often."""

_WRITTEN = "Written by `oven snapshot schedule`."
_BEGIN = "auto"


class Schedule(Value, frozen=True, kw_only=True):
    """Kept as `schedule.json` beside a container's record."""

    version: Annotated[int, msgspec.Meta(ge=1, le=1)] = 1
    every: Annotated[int, msgspec.Meta(ge=SHORTEST)]
    """Seconds from one to the next."""
    keep: Annotated[int, msgspec.Meta(ge=1)]
    """How many of those that the schedule made are kept."""


def read(places: Places, name: str) -> Schedule | None:
    """Give a container's schedule; None when it has none."""
    path = folder_of(places, name) / layout.SCHEDULE
    try:
        return msgspec.json.decode(path.read_bytes(), type=Schedule)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError as error:
        raise HostError(f"the schedule of container `{name}` is damaged: {error}", at=path) from (
            error
        )


def is_set(places: Places, name: str) -> bool:
    """Tell whether a container has a schedule, readable or not."""
    return (folder_of(places, name) / layout.SCHEDULE).exists()


def write(places: Places, name: str, schedule: Schedule | None) -> None:
    """Give a container a schedule, or take it away."""
    check_name(name)
    path = folder_of(places, name) / layout.SCHEDULE
    with repair.holding(places, name), durable.disk_errors(path):
        if schedule is None:
            path.unlink(missing_ok=True)
            durable.Disk().sync(path.parent)
        else:
            durable.replace(path, canonical(schedule))


def due(places: Places, now: float | None = None) -> Iterator[tuple[str, str | OvenError]]:
    """Make every snapshot that is due and remove those beyond what is kept.

    Gives container and snapshot, or what went wrong with it; the others go on.
    """
    now = time.time() if now is None else now
    for name in all_names(places):
        try:
            load(places, name)
            schedule = read(places, name)
            if schedule is None:
                continue
            made = _due(places, name, schedule, now)
        except NotFoundError:
            continue  # destroyed meanwhile
        except OvenError as error:
            yield name, error
            continue
        if made is not None:
            yield name, made


def settle(places: Places, systemd: Systemd) -> str | None:
    """Have the timer there if a container has a schedule, and only then.

    Gives a sentence for the user where there is something to know.
    """
    name = units.name_of(places, "oven-snapshot")
    timer = f"{name}.timer"
    if not any(is_set(places, one) for one in all_names(places)):
        systemd.disable((f"{name}.service", timer), timer, now=True)
        return None
    if systemd.runs:
        return units.ensure(places, systemd, _units(places, name), timer, now=True)
    whose = "your own systemd does not run" if places.ordinary else "systemd does not run here"
    line = units.cron_line(places, f"*/{SHORTEST // 60} * * * *", "snapshot", "due")
    return f"{whose}; this line in your crontab does what it would: {line}"


def _units(places: Places, name: str) -> dict[str, UnitFile]:
    """Describe the timer and what it runs (systemd.timer(5))."""
    minutes = SHORTEST // 60
    service = UnitFile(
        note=_WRITTEN,
        unit=(
            ("Description", "Make the snapshots of containers that are due"),
            ("Documentation", "man:systemd.timer(5)"),
        ),
        service=(
            ("Type", "oneshot"),
            *units.environment(places),
            ("ExecStart", units.command("snapshot", "due")),
        ),
    )
    timer = UnitFile(
        note=_WRITTEN,
        unit=(
            (
                "Description",
                f"Look every {minutes} minutes which snapshots of containers are due",
            ),
        ),
        timer=(
            ("OnCalendar", f"*:0/{minutes}"),
            ("Persistent", "true"),
            ("Unit", f"{name}.service"),
        ),
        install=(("WantedBy", "timers.target"),),
    )
    return {f"{name}.service": service, f"{name}.timer": timer}


def _due(places: Places, name: str, schedule: Schedule, now: float) -> str | None:
    own = _own(places, name)
    made = None
    # Half a turn of the timer early rather than a whole one late.
    if not own or own[-1][1] + schedule.every <= now + SHORTEST / 2:
        taken = snapshots.listed(places, name)
        made = snapshots.create(places, name, snapshots.free_name(taken, _BEGIN), kind="scheduled")
        own = _own(places, name)
    if beyond := tuple(snapshot for snapshot, _ in own[: -schedule.keep]):
        snapshots.remove(places, name, beyond)
    return made


def _own(places: Places, name: str) -> list[tuple[str, float]]:
    known = snapshots.listed(places, name)
    return [(key, one.created) for key, one in known.items() if one.kind == "scheduled"]
