"""The schedule of snapshots: how often each container gets one, and how many are kept."""

import shlex
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import msgspec

from builder.host import files
from builder.host.places import Places
from builder.model.errors import HostError, NotFoundError, OvenError
from builder.model.value import Value, canonical
from builder.runtime import journal, snapshots, storage
from builder.runtime.container import check_name, folder_of, load

SHORTEST = 300
"""Seconds between two snapshots at least: the timer looks so often."""

UNITS = Path("/etc/systemd/system")
"""Where an administrator's units are (systemd.unit(5))."""
TIMER, SERVICE = "oven-snapshot.timer", "oven-snapshot.service"

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


def write_units(folder: Path, command: tuple[str, ...], home: str | None) -> tuple[Path, ...]:
    """Write the timer and what it runs; give the files. Files that are so already stay."""
    environment = f'Environment="OVEN_HOME={_escaped(home)}"\n' if home else ""
    line = " ".join(_quoted(word) for word in (*command, "snapshot", "due"))
    service = f"""\
# Written by `oven snapshot schedule`.
[Unit]
Description=Make the snapshots of containers that are due
Documentation=man:systemd.timer(5)

[Service]
Type=oneshot
{environment}ExecStart={line}
"""
    timer = f"""\
# Written by `oven snapshot schedule`.
[Unit]
Description=Look every {SHORTEST // 60} minutes which snapshots of containers are due

[Timer]
OnCalendar=*:0/{SHORTEST // 60}
Persistent=true
Unit={SERVICE}

[Install]
WantedBy=timers.target
"""
    written = []
    for name, text in ((SERVICE, service), (TIMER, timer)):
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            files.replace(path, text.encode())
            path.chmod(0o644)
        written.append(path)
    return tuple(written)


def cron_line(command: tuple[str, ...], home: str | None) -> str:
    """Give what does the same on a host without systemd, as a line of crontab(5)."""
    environment = f"OVEN_HOME={shlex.quote(home)} " if home else ""
    line = f"{environment}{shlex.join((*command, 'snapshot', 'due'))}"
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


def _quoted(word: str) -> str:
    """Write a word of a unit's command line (systemd.service(5), "Command lines")."""
    plain: Callable[[str], bool] = lambda char: char.isalnum() or char in "/_-.+=:,@"  # noqa: E731
    text = _escaped(word).replace("$", "$$")
    return text if word and all(map(plain, word)) else f'"{text}"'


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
