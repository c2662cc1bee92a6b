"""The schedule of backups: a timer once a day makes those that were asked for, and prunes."""

from collections.abc import Iterator

import msgspec

from builder.host import units
from builder.host.places import Places
from builder.host.units import Systemd
from builder.model.backup import USUAL
from builder.model.errors import NotFoundError, OvenError
from builder.model.progress import Reporter
from builder.model.unit_file import UnitFile
from builder.runtime.backup import create, parcel, repository
from builder.runtime.backup.repository import Repository
from builder.runtime.backup.restic import Restic
from builder.runtime.record.container import all_names, load

_WRITTEN = "Written by `oven backup schedule`."


def write(places: Places, name: str, *, daily: bool) -> None:
    """Have an instance backed up each day, or no more; NotFoundError unless it is known where."""
    plan = repository.need(places, name)
    every = "daily" if daily else None
    repository.write(places, name, msgspec.structs.replace(plan, every=every))


def prune(places: Places, name: str, where: Repository, report: Reporter) -> None:
    """Remove the backups of an instance that its recipe does not keep, or all but the usual."""
    interface = parcel.interface_of(places, load(places, name))
    Restic(places, where, report).forget(name, (interface.backup.keep or USUAL).words())


def due(places: Places, report: Reporter) -> Iterator[tuple[str, str | OvenError]]:
    """Make the backup of each instance that has a schedule, and prune.

    Gives instance and backup, or what went wrong with it; the others go on.
    """
    for name in all_names(places):
        try:
            load(places, name)
            plan = repository.read(places, name)
            if plan is None or plan.every is None:
                continue
            made = create.create(places, name, plan.repository, report)
            prune(places, name, plan.repository, report)
        except NotFoundError as error:
            if name in all_names(places):  # else it was destroyed meanwhile
                yield name, error
        except OvenError as error:
            yield name, error
        else:
            yield name, made


def settle(places: Places, systemd: Systemd) -> str | None:
    """Have the timer there if a container has a schedule, and only then.

    Gives a sentence for the user where there is something to know.
    """
    name = units.name_of(places, "oven-backup")
    timer = f"{name}.timer"
    if not repository.is_scheduled(places):
        systemd.disable((f"{name}.service", timer), timer, now=True)
        return None
    if systemd.runs:
        return units.ensure(places, systemd, _units(places, name), timer, now=True)
    whose = "your own systemd does not run" if places.ordinary else "systemd does not run here"
    line = units.cron_line(places, "17 3 * * *", "backup", "due")
    return f"{whose}; this line in your crontab does what it would: {line}"


def _units(places: Places, name: str) -> dict[str, UnitFile]:
    """Describe the timer and what it runs (systemd.timer(5))."""
    service = UnitFile(
        note=_WRITTEN,
        unit=(
            ("Description", "Back up instances of appliances"),
            ("Documentation", "man:systemd.timer(5)"),
        ),
        service=(
            ("Type", "oneshot"),
            *units.environment(places),
            ("ExecStart", units.command("backup", "due")),
        ),
    )
    timer = UnitFile(
        note=_WRITTEN,
        unit=(("Description", "Back up instances of appliances each night"),),
        timer=(
            ("OnCalendar", "*-*-* 03:17:00"),
            ("RandomizedDelaySec", "30min"),
            ("Persistent", "true"),
            ("Unit", f"{name}.service"),
        ),
        install=(("WantedBy", "timers.target"),),
    )
    return {f"{name}.service": service, f"{name}.timer": timer}
