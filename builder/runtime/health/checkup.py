"""Checkups: all probes of a container asked at the same time, and waited for at its start."""

import time
from collections.abc import Sequence
from functools import partial

from builder.host import pids
from builder.host.kernel.visits import visit
from builder.host.network.asking.ask import ask as ask_server
from builder.host.places import Places
from builder.host.process.errands import Back, Errand, at_once
from builder.model.errors import OvenError
from builder.model.health import IN_TREE, INSIDE, LEVELS, HealthProbe, Level
from builder.model.value import Value
from builder.runtime.access import journal
from builder.runtime.access.logs import LogRange
from builder.runtime.health import declared, inside
from builder.runtime.record import state
from builder.runtime.record.seen import Seen
from builder.runtime.record.state import State
from builder.runtime.recovery import orphans

LINES = 5
"""Lines of a unit's journal that are shown where a probe fails."""
_JOURNAL = 5.0
"""Seconds that the journal may take."""
_REASON = 2000
"""Bytes of a reason."""
_LOOPBACK = "127.0.0.1"
_FIRST, _LONGEST, _GROWTH = 0.05, 1.0, 1.5
"""Seconds between two checkups while a container starts, and how they grow."""


class Outcome(Value, frozen=True, kw_only=True):
    """What a probe has shown."""

    probe: HealthProbe
    healthy: bool
    seconds: float = 0.0
    """How long it took."""
    reason: str = ""
    """Why it fails."""
    lines: tuple[str, ...] = ()
    """The last of the unit's journal, where it fails and has one."""


def look(places: Places, name: str, level: Level = "deep") -> tuple[Outcome, ...]:
    """Ask all probes up to a level; NotFoundError where there is no such container."""
    seen = orphans.look(places, name)
    known = declared.read(places, seen.record)
    probes = _up_to(level, known.probes() if known else ())
    return _with_lines(places, name, _ask(seen, probes))


def wait(places: Places, name: str, until: float) -> tuple[Outcome, ...]:
    """Wait until all that shows a container to be ready has passed once; give what has not.

    It waits until that time of the monotonic clock, or the end of the container. An instance that
    lacks answers serves nobody, and is not waited for.
    """
    seen = orphans.look(places, name)
    known = declared.read(places, seen.record)
    if known is None or known.missing:
        return ()
    failing = tuple(Outcome(probe=one, healthy=False) for one in _up_to("ready", known.probes()))
    pause, now = _FIRST, seen.state or State(phase="starting", boot="")
    with pids.hold(now.pid, now.pid_started) as process:
        while failing:
            asked = _ask(seen, [one.probe for one in failing], until)
            failing = tuple(one for one in asked if not one.healthy)
            left = until - time.monotonic()
            if left <= 0 or (failing and process.wait(min(pause, left))):
                break
            pause = min(pause * _GROWTH, _LONGEST)
    return _with_lines(places, name, failing)


def _up_to(level: Level, probes: Sequence[HealthProbe]) -> list[HealthProbe]:
    wanted = LEVELS[: LEVELS.index(level) + 1]
    return [one for one in probes if one.level in wanted]


def _ask(
    seen: Seen, probes: Sequence[HealthProbe], until: float | None = None
) -> tuple[Outcome, ...]:
    current = seen.state
    if current is None or not state.alive(current) or current.frozen:
        reason = f"the container is {seen.status}"
        return tuple(Outcome(probe=one, healthy=False, reason=reason) for one in probes)
    errands = [Errand(partial(_work, seen, current, one), _allowed(one, until)) for one in probes]
    found = zip(probes, at_once(errands), strict=True)
    return tuple(_outcome(probe, back) for probe, back in found)


def _allowed(probe: HealthProbe, until: float | None) -> float:
    """Give how long an answer may take; the last question of a start is not cut off at once."""
    if until is None:
        return probe.seconds
    return min(probe.seconds, max(until - time.monotonic(), 1.0))


def _work(seen: Seen, current: State, probe: HealthProbe) -> bytes:
    if probe.kind in INSIDE | IN_TREE:
        reason = inside.ask(seen.places, seen.name, current.pid, probe)
    else:
        host = probe.host or current.address or _LOOPBACK
        try:
            return visit(current.pid, ("net",), lambda: _short(ask_server(probe, host)))
        except (FileNotFoundError, ProcessLookupError):
            reason = "the container has ended"
    return _short(reason)


def _short(reason: str) -> bytes:
    return reason.encode(errors="replace")[:_REASON]


def _outcome(probe: HealthProbe, back: Back) -> Outcome:
    if back.brought is None:
        reason = f"gives no answer within {back.seconds:.1f} seconds"
    else:
        reason = back.brought.decode(errors="replace")
    return Outcome(probe=probe, healthy=not reason, seconds=round(back.seconds, 3), reason=reason)


def _with_lines(places: Places, name: str, outcomes: Sequence[Outcome]) -> tuple[Outcome, ...]:
    """Add what the journal has of the units of what fails."""
    units = sorted({one.probe.unit for one in outcomes if not one.healthy and one.probe.unit})
    backs = at_once([Errand(partial(_journal, places, name, unit), _JOURNAL) for unit in units])
    told = {
        unit: tuple((back.brought or b"").decode(errors="replace").splitlines())
        for unit, back in zip(units, backs, strict=True)
    }
    return tuple(
        one if one.healthy else Outcome(
            probe=one.probe, healthy=False, seconds=one.seconds, reason=one.reason,
            lines=told.get(one.probe.unit or "", ()),
        )
        for one in outcomes
    )  # fmt: skip


def _journal(places: Places, name: str, unit: str) -> bytes:
    try:
        lines = list(journal.read(places, name, LogRange(count=LINES), unit))[-LINES:]
    except OvenError:
        return b""  # it has no journal, and that is not the question
    return "\n".join(line.rstrip("\n") for line in lines).encode(errors="replace")
