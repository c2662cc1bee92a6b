"""Configuring: an instance is given other answers, running or not; all of it is done or nothing."""

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from builder.appliance.plan import Plan, between
from builder.host.places import Places
from builder.model.errors import OvenError, RecipeError, StageError
from builder.model.instance import Instance
from builder.model.interface import Action, Interface
from builder.runtime.access.exec import capture
from builder.runtime.bundle import instance as files
from builder.runtime.bundle import lookup
from builder.runtime.record import instances, state
from builder.runtime.record.container import check_name
from builder.runtime.record.instances import Settling
from builder.runtime.record.layout import SHARED, volatile_of
from builder.runtime.recovery import repair
from builder.runtime.recovery.held import Held

# In a running container: what there was is noted, files are written, the appliance's own tests
# judge them, and only then its units hear of it. Whatever fails puts the files back; units that
# have heard already hear of that too. A command that dies leaves the note, and the next one that
# configures or starts the container goes back by it.

_TEST = 60.0
"""Seconds that a test of a configuration may take."""
_TELL = 120.0
"""Seconds that a unit may take to reload or restart."""


@dataclass(frozen=True)
class Wish:
    """What an instance shall be, made of what it is."""

    interface: Interface
    make: Callable[[Instance], Instance]


def configure(places: Places, name: str, wish: Wish, *, dry: bool = False) -> Plan:
    """Give an instance other answers; `dry` only tells what that would come to.

    RecipeError for a container that is of no appliance, StageError with what a test of the
    configuration said.
    """
    check_name(name)
    with repair.holding(places, name) as held:
        before = _settled(held)
        if before is None:
            raise RecipeError(
                f"container `{name}` is of no appliance", hint="its template asks for nothing"
            )
        after = wish.make(before)
        plan = between(before, after, wish.interface)
        if dry or plan.empty:
            return plan
        if _runs(held):
            _change(held, before, after, _Change(wish.interface, plan))
        else:
            instances.save(places, name, after)
        held.tell("configured", parameters=", ".join(plan.parameters))
    return plan


@dataclass(frozen=True)
class _Change:
    interface: Interface
    plan: Plan


def _settled(held: Held) -> Instance | None:
    """Give what it was told, once what a dead command was changing is undone."""
    left = instances.begun(held.places, held.name)
    found = instances.recovered(held.places, held.name)
    if left is not None and found is not None and _runs(held):
        _write(held, found)
        _tell(held, dict.fromkeys(left.units, "reload"))
    return found


def _runs(held: Held) -> bool:
    return held.state is not None and state.alive(held.state)


def _change(held: Held, before: Instance, after: Instance, change: _Change) -> None:
    places, name, units = held.places, held.name, change.plan.units
    paths = tuple(one.path for one in after.files)
    instances.begin(places, name, Settling(before=before, paths=paths, units=tuple(units)))
    told: dict[str, Action] = {}
    try:
        _write(held, after)
        _test(held, change.interface)
        for unit, action in units.items():
            told[unit] = action
            _tell(held, {unit: action})
        if before.answers.missing and not after.answers.missing:
            _open(held)
        instances.save(places, name, after)
    except BaseException:
        back = before.with_gone(paths)
        _write(held, back)
        instances.save(places, name, before)
        with contextlib.suppress(OvenError):  # what went wrong is said already
            _tell(held, told)
        instances.end(places, name)
        raise
    instances.end(places, name)


def _write(held: Held, instance: Instance) -> None:
    credentials = volatile_of(held.places, held.name) / SHARED / "credentials"
    if held.state is None:
        raise lookup.has_ended(held.name)
    with lookup.root_of(held.name, held.state.pid) as tree:
        files.write(tree, instance, held.record)
    files.show(instance, held.record, credentials)


def _open(held: Held) -> None:
    """Let the world in, which was kept out until now."""
    if held.record.ports and held.record.interfaces and not held.places.ordinary:
        from builder.runtime import network  # an ordinary user's are opened at the next start

        network.publish(held.places, held.record)


def _test(held: Held, interface: Interface) -> None:
    for unit, config in interface.services.items():
        if not config.test:
            continue
        code, said = capture(held.places, held.name, config.test, timeout=_TEST)
        if code:
            raise StageError(
                f"the configuration test of `{unit}` fails (status {code}); all is as it was",
                hint="other answers are needed, or the appliance has to be mended",
                command=" ".join(config.test),
                output=said,
            )


def _tell(held: Held, units: Mapping[str, Action]) -> None:
    """Have units hear of it; one that does not run hears when it is started."""
    for unit, action in units.items():
        verb = "try-reload-or-restart" if action == "reload" else "try-restart"
        code, said = capture(held.places, held.name, ("systemctl", verb, unit), timeout=_TELL)
        if code:
            _, log = capture(
                held.places, held.name, ("journalctl", "-n", "10", "-o", "cat", "-u", unit)
            )
            raise StageError(
                f"`{unit}` does not {action} with the new configuration; all is as it was",
                command=f"systemctl {verb} {unit}",
                output=said + log,
            )
