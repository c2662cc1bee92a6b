"""Health: whether a container that was changed works as well as it did before."""

from dataclasses import dataclass

from builder.host.places import Places
from builder.model.errors import StageError
from builder.runtime.access import exec as inside
from builder.runtime.access import logs
from builder.runtime.record import state
from builder.runtime.record.seen import Seen
from builder.runtime.recovery import orphans


@dataclass(frozen=True, slots=True)
class Before:
    """What was true of a container before it was changed."""

    running: bool
    failed: frozenset[str] = frozenset()
    """Units that had failed anyway."""


def before(seen: Seen) -> Before:
    """Look at a container that is about to be changed."""
    if seen.status != "running" or seen.record.init != "systemd":
        return Before(running=seen.status != "stopped")
    return Before(running=True, failed=frozenset(inside.boot_report(seen.places, seen.name).failed))


def check(places: Places, name: str, earlier: Before, *, timeout: float) -> None:
    """Raise StageError when a container that has started does not work as it did.

    It has been waited for until it was ready. With systemd: when a unit has failed that had not
    before.
    """
    seen = orphans.look(places, name)
    if not state.alive(seen.state):
        raise StageError("it has ended", output=logs.tail(places, name))
    if seen.record.init == "systemd":
        _check_units(places, name, earlier, timeout)


def _check_units(places: Places, name: str, earlier: Before, timeout: float) -> None:
    report = inside.boot_report(places, name, timeout=timeout)
    new = sorted(set(report.failed) - earlier.failed)
    if new:
        raise StageError(f"units failed: {', '.join(new)}", output=_why(places, name, new))
    if report.state not in {"running", "degraded"}:
        raise StageError(f"systemd says `{report.state}`", output=logs.tail(places, name))


def _why(places: Places, name: str, units: list[str]) -> str:
    argv = ("systemctl", "status", "--no-pager", "--lines=20", "--", *units)
    return inside.capture(places, name, argv)[1]
