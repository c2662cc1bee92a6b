"""Orphans: containers whose command died in the middle, seen to by whoever merely looks at them."""

import contextlib
import os

from builder.host.places import Places
from builder.model.errors import OvenError
from builder.runtime.record import locks, state
from builder.runtime.record.container import check_name, load
from builder.runtime.record.layout import CHANGE, cgroup_of, folder_of
from builder.runtime.record.seen import Seen
from builder.runtime.record.state import State
from builder.runtime.recovery.finishing import finisher

# Who changes a container takes its lock, and repairs all that a dead command has left. Who only
# looks waits for nobody: where the lock is free, the processes of the container are seen to, for
# they cannot wait until somebody changes it. All else is left to the next one that does.


def seen(places: Places, name: str) -> State | None:
    """Read a container's state, after what a dead command has left of its processes is mended."""
    current = state.read(places, name)
    if current is None or not (_is_orphan(current) or _is_changed(places, name)):
        return current
    lock = locks.try_lock(folder_of(places, name))
    if lock is None:
        return current  # somebody is at work on it
    try:
        # An ordinary user who only looks may not be able to; who changes it will.
        with contextlib.suppress(OvenError, PermissionError):
            _mend(places, name)
    finally:
        os.close(lock)
    return state.read(places, name)


def look(places: Places, name: str) -> Seen:
    """Give a container to somebody who changes nothing, mended as by `seen`.

    Raises NotFoundError when there is none.
    """
    record = load(places, check_name(name))
    return Seen(places, record, seen(places, name))


def adopt(places: Places, name: str) -> State | None:
    """See to it that a container that came up is waited for; give its state.

    The caller holds its lock.
    """
    current = state.read(places, name)
    if current is None or not state.is_alone(current):
        return current
    followed = finisher().follow(places, load(places, name), current)
    return state.become(places, name, current, followed)


def _mend(places: Places, name: str) -> None:
    # Nearly none needs these, and `oven list` asks of a thousand.
    from builder.host.kernel import cgroups
    from builder.runtime.recovery import cleaning

    if _is_changed(places, name):
        from builder.runtime.storage import change

        if change.halts(places, name):
            cgroups.freeze(cgroup_of(places, name), frozen=False)
    current = state.read(places, name)
    if current is not None and current.phase == "starting":
        cleaning.clean(places, name, networked=bool(load(places, name).interfaces))
    else:
        adopt(places, name)


def _is_orphan(current: State) -> bool:
    return current.phase == "starting" or state.is_alone(current)


def _is_changed(places: Places, name: str) -> bool:
    # Quicker than Path: `oven list` asks of a thousand.
    return os.path.exists(f"{places.data}/containers/{name}/{CHANGE}")  # noqa: PTH110
