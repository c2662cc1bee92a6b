"""Service: waiting until a container that is up also does what its appliance is for."""

from collections.abc import Sequence

from builder.host.places import Places
from builder.model.errors import ConflictError
from builder.runtime.health import checkup
from builder.runtime.health.checkup import Outcome
from builder.runtime.lifecycle.readiness import NotReadyError
from builder.runtime.recovery import orphans


def wait(places: Places, name: str, timeout: float, deadline: float) -> None:
    """Wait until the probes pass; NotReadyError, which names those that do not."""
    failing = checkup.wait(places, name, deadline)
    if not failing:
        return
    try:
        orphans.look(places, name).need_alive()
    except ConflictError:
        raise NotReadyError(
            f"container `{name}` ended before it was ready", hint=f"`oven logs {name}` may tell why"
        ) from None
    first, more = failing[0], len(failing) - 1
    error = NotReadyError(
        f"container `{name}` is not ready after {timeout:g} seconds, and goes on running:"
        f" `{first.probe.name}`: {first.reason}" + (f", and {more} more" if more else ""),
        hint=f"`oven health {name}` asks again, `oven stop {name}` stops it",
        output="\n".join(_told(failing)),
    )
    error.late = True
    raise error


def _told(failing: Sequence[Outcome]) -> list[str]:
    found = []
    for one in failing:
        found.append(f"{one.probe.name}: {one.reason}")
        found += [f"    {line}" for line in one.lines]
    return found
