"""Showing containers: what `list`, `show` and `top` tell of each."""

import contextlib
import os
from collections.abc import Iterator
from typing import Literal

import msgspec

from builder.host import pids
from builder.host.kernel import uts
from builder.host.places import Places
from builder.model.errors import NotFoundError
from builder.model.host_access import HostAccess
from builder.model.network import PortMapping
from builder.model.value import Value
from builder.runtime.bundle import pending
from builder.runtime.record import given, layout, state
from builder.runtime.record.container import (
    Autostart,
    Container,
    Interface,
    Restart,
    Status,
    check_name,
)
from builder.runtime.record.given import Given
from builder.runtime.record.layout import folder_of
from builder.runtime.record.state import State
from builder.runtime.recovery import orphans

# Nobody here waits for a lock. `list` reads one small file of a container,
# and a second only of one that was started: a thousand of them must not take longer than Python's
# own start.


class Summary(Value, frozen=True, kw_only=True):
    """A container, and what it does now."""

    container: Container
    status: Status
    ready: bool = False
    """Whether its init has said that all is up."""
    pid: int | None = None
    """Its first process, as the host numbers it."""
    since: int | None = None
    """Seconds since 1970 when it was started."""
    unanswered: tuple[str, ...] = ()
    """Parameters of its appliance that have to be answered before it serves anybody."""
    given: Given | None = None
    """What it has now, where it runs, of what its record says for its next start."""
    address: str | None = None
    """Where it is reached."""
    addresses: tuple[str, ...] = ()
    """All of its addresses: `eth0` first, IPv4 before IPv6."""
    host: tuple[tuple[str, HostAccess], ...] = ()
    """Its networks, and what of the host it reaches on each."""
    hostname: str
    """What it is called: by its own processes, or where it does not run at its next start."""
    exit_code: int | None = None
    """How its first process ended, where that happened by itself in this boot of the host.

    129 is a reboot from inside and 130 a shutdown: the signals by which the kernel ends the first
    process of a container then (reboot(2)), and 128.
    """


class ContainerRow(Value, frozen=True, kw_only=True):
    """What a list of containers tells of each."""

    name: str
    status: Status | Literal["damaged"]
    ready: bool = False
    address: str | None = None
    template: str | None = None
    digest: str | None = None
    networks: tuple[str, ...] = ()
    ports: tuple[str, ...] = ()
    restart: Restart = "no"
    autostart: bool = False
    protected: bool = False
    pid: int | None = None
    created: int | None = None
    """Seconds since 1970."""
    started: int | None = None
    unanswered: tuple[str, ...] = ()
    """Parameters of its appliance that have to be answered before it serves anybody."""
    problem: str | None = None
    """Why the record cannot be read."""


class _Record(msgspec.Struct, rename="kebab"):
    """The part of a record that a list needs; reading less is quicker than reading all."""

    template: str
    template_name: str
    created: int
    interfaces: tuple[Interface, ...] = ()
    ports: tuple[PortMapping, ...] = ()
    restart: Restart = "no"
    autostart: Autostart | None = None
    protected: bool = False


_SEEN_TO = 5.0
"""Seconds that the monitor of a container that has just ended is waited for."""
_RECORD = msgspec.json.Decoder(_Record).decode


def show(places: Places, name: str) -> Summary:
    """Tell about one container."""
    seen = orphans.look(places, name)
    if seen.status == "stopped" and seen.state is not None:
        # Its end is being seen to, and then there is more to tell.
        with pids.hold(seen.state.monitor, seen.state.monitor_started) as monitor:
            monitor.wait(_SEEN_TO)
        seen = orphans.look(places, name)
    container, current, status = seen.record, seen.state, seen.status
    host, unanswered = tuple(_reached(places, container)), pending.unanswered(places, name)
    if status == "stopped" or current is None:
        code = _exit_code(places, name)
        return Summary(
            container=container,
            status=status,
            host=host,
            hostname=container.hostname,
            unanswered=unanswered,
            exit_code=code,
        )
    return Summary(
        container=container,
        status=status,
        host=host,
        hostname=uts.hostname_of(current.pid) or container.hostname,
        unanswered=unanswered,
        ready=current.ready,
        pid=current.pid or None,
        since=current.since,
        given=given.read(places, name) if state.alive(current) else None,
        address=current.address,
        addresses=current.addresses,
    )


def _reached(places: Places, container: Container) -> Iterator[tuple[str, HostAccess]]:
    if not container.interfaces or places.ordinary:
        return
    from builder.model.errors import HostError
    from builder.runtime import network
    from builder.runtime.network import definitions  # slow to import, and `list` has no use for it

    with contextlib.suppress(HostError):
        network.mend_names(places)
    for one in container.interfaces:
        general = definitions.access(places, one.network)
        yield one.network, general if one.host is None else one.host


def row(places: Places, name: str) -> ContainerRow:
    """Tell the most important of one container, even if its record is damaged."""
    check_name(name)
    found = _row(places, name, orphans.seen(places, name))
    if found is None:
        raise NotFoundError(
            f"there is no container `{name}`", hint="`oven list` shows those that exist"
        )
    return found


def list_containers(places: Places) -> tuple[ContainerRow, ...]:
    """Tell about every container, by name; one that goes away meanwhile is left out."""
    started = set(_entries(places.runtime / "containers"))
    rows = (
        _row(places, name, orphans.seen(places, name) if name in started else None)
        for name in sorted(_entries(places.data / "containers"))
    )
    return tuple(row for row in rows if row is not None)


def running(places: Places) -> Iterator[tuple[str, State]]:
    """Give the containers whose first process runs, by name, and their states."""
    for name in sorted(_entries(places.runtime / "containers")):
        current = orphans.seen(places, name)
        if current is not None and state.alive(current):
            yield name, current


def _entries(folder: "os.PathLike[str]") -> list[str]:
    """List what a container can be called; drafts and the like hold a dot."""
    try:
        return [name for name in os.listdir(folder) if "." not in name]
    except FileNotFoundError:
        return []


def _row(places: Places, name: str, current: State | None) -> ContainerRow | None:
    status = state.status_of(current)
    try:
        with open(f"{places.data}/containers/{name}/{layout.RECORD}", "rb") as file:  # noqa: PTH123  # quicker than Path
            record = _RECORD(file.read())
    except (OSError, msgspec.MsgspecError) as error:
        if not folder_of(places, name).is_dir():
            return None
        return ContainerRow(name=name, status="damaged", problem=str(error))
    lives = None if status == "stopped" else current
    return ContainerRow(
        name=name,
        status=status,
        ready=lives is not None and lives.ready,
        address=lives.address if lives else None,
        template=record.template_name,
        digest=record.template.partition(":")[2],
        networks=tuple(one.network for one in record.interfaces),
        ports=tuple(map(str, record.ports)),
        restart=record.restart,
        autostart=record.autostart is not None,
        protected=record.protected,
        pid=(lives.pid or None) if lives else None,
        created=record.created,
        started=lives.since if lives else None,
        unanswered=pending.unanswered(places, name),
    )


def _exit_code(places: Places, name: str) -> int | None:
    # What is kept is written before this goes.
    code = state.exit_code(places, name)
    end = state.read_end(places, name)
    return end.code if end is not None else code
