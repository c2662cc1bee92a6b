"""Showing containers: what `list` and `show` tell of each."""

from builder.host.places import Places
from builder.model.errors import NotFoundError
from builder.model.value import Value
from builder.runtime import state, storage
from builder.runtime.container import Container, Status, check_name, load


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
    address: str | None = None
    """Where it is reached."""
    exit_code: int | None = None
    """How its first process ended, where that happened by itself in this boot of the host.

    129 is a reboot from inside and 130 a shutdown: the signals by which the kernel ends the first
    process of a container then (reboot(2)), and 128.
    """


def show(places: Places, name: str) -> Summary:
    """Tell about one container; asks for no lock, so that it never waits."""
    check_name(name)
    container = load(places, name)
    status = state.status(places, name)
    if status == "stopped":
        return Summary(container=container, status=status, exit_code=_exit_code(places, name))
    current = state.read(places, name)
    if current is None:
        return Summary(container=container, status="stopped")
    return Summary(
        container=container,
        status=status,
        ready=current.ready,
        pid=current.pid or None,
        since=current.since,
        address=current.address,
    )


def _exit_code(places: Places, name: str) -> int | None:
    end = state.read_end(places, name)
    return end.code if end is not None else state.exit_code(places, name)


def list_containers(places: Places) -> tuple[Summary, ...]:
    """Tell about every container, by name; one that goes away meanwhile is left out."""
    found = []
    for name in storage.names(places):
        try:
            found.append(show(places, name))
        except NotFoundError:
            continue
    return tuple(found)
