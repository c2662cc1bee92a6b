"""The schedule of snapshots: how often each container gets one, and how many are kept."""

import os
import shlex
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec

from builder.host import files
from builder.host.places import Places
from builder.host.process import check, on_host
from builder.model.errors import HostError, NotFoundError, OvenError
from builder.model.value import Value, canonical
from builder.runtime import autostart, journal, snapshots, storage
from builder.runtime.container import check_name, folder_of, load

SHORTEST = 300
"""Seconds between two snapshots at least: the timer looks so often."""

UNITS = Path("/etc/systemd/system")
"""Where an administrator's units are (systemd.unit(5))."""
BOOTED = Path("/run/systemd/system")
"""There when systemd runs this host (sd_booted(3))."""

_SERVICE = """\
# Written by `oven snapshot schedule`.
[Unit]
Description=Make the snapshots of containers that are due
Documentation=man:systemd.timer(5)

[Service]
Type=oneshot
{environment}ExecStart={program} snapshot due
"""
_TIMER = """\
# Written by `oven snapshot schedule`.
[Unit]
Description=Look every {minutes} minutes which snapshots of containers are due

[Timer]
OnCalendar=*:0/{minutes}
Persistent=true
Unit={name}.service

[Install]
WantedBy=timers.target
"""

_FILE = "schedule.json"
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
    path = folder_of(places, name) / _FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=Schedule)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError as error:
        raise HostError(f"the schedule of container `{name}` is damaged: {error}", at=path) from (
            error
        )


def write(places: Places, name: str, schedule: Schedule | None) -> None:
    """Give a container a schedule, or take it away."""
    check_name(name)
    path = folder_of(places, name) / _FILE
    with journal.holding(places, name), files.disk_errors(path):
        if schedule is None:
            path.unlink(missing_ok=True)
            files.Disk().sync(path.parent)
        else:
            files.replace(path, canonical(schedule))


def due(places: Places, now: float | None = None) -> Iterator[tuple[str, str | OvenError]]:
    """Make every snapshot that is due and remove those beyond what is kept.

    Gives container and snapshot, or what went wrong with it; the others go on.
    """
    now = time.time() if now is None else now
    for name in storage.names(places):
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


def settle(places: Places, units: Path = UNITS, booted: Path = BOOTED) -> str | None:
    """Have the timer there; gives a sentence for the user where there is something to know."""
    if places.ordinary or not booted.is_dir():
        why = (
            "no timer is made for an ordinary user"
            if places.ordinary
            else ("this host is not run by systemd")
        )
        return f"{why}; this line in your crontab does what one would: {cron_line(places)}"
    if not write_units(places, units):
        return None
    timer = f"{stem(places)}.timer"
    check(on_host, "systemctl", "daemon-reload")
    check(on_host, "systemctl", "enable", "--now", timer)
    return f"wrote and enabled `{units / timer}`"


def write_units(places: Places, units: Path) -> bool:
    """Write the timer and what it runs; tell whether they were not so already."""
    name, home = stem(places), os.environ.get("OVEN_HOME", "")
    environment = f'Environment="OVEN_HOME={_escaped(home)}"\n' if home else ""
    texts = {
        f"{name}.service": _SERVICE.format(environment=environment, program=autostart.program()),
        f"{name}.timer": _TIMER.format(minutes=SHORTEST // 60, name=name),
    }
    written = False
    for unit, text in texts.items():
        path = units / unit
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            files.replace(path, text.encode())
            path.chmod(0o644)
            written = True
    return written


def stem(places: Places) -> str:
    """Give what the units' names begin with; each home of Oven has its own."""
    return autostart.unit_name(places).removesuffix(".service").replace("oven", "oven-snapshot", 1)


def cron_line(places: Places) -> str:
    """Give what does the same on a host without systemd, as a line of crontab(5)."""
    home = os.environ.get("OVEN_HOME")
    environment = f"OVEN_HOME={shlex.quote(str(places.data))} " if home else ""
    line = f"{environment}{autostart.program()} snapshot due"
    # In a crontab an unescaped % ends the command.
    return f"*/{SHORTEST // 60} * * * * {line}".replace("%", r"\%")


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


def _escaped(text: str) -> str:
    """Write a part of a quoted word of a unit (systemd.syntax(7), systemd.unit(5))."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
