"""What follows when a container has ended by itself: its monitor calls this program."""

import contextlib
import os
import sys
import time
import traceback

from builder.host import pids
from builder.host.kernel import cgroups
from builder.host.places import Places
from builder.model.errors import NotFoundError, OvenError
from builder.runtime.bundle import rootfs
from builder.runtime.lifecycle import control, create
from builder.runtime.record import layout, locks, state
from builder.runtime.record.container import Container, load
from builder.runtime.record.layout import folder_of
from builder.runtime.record.state import End, State
from builder.runtime.recovery.held import Held
from builder.runtime.resources import usage

# It runs in the monitor's namespaces and cgroups, and leaves both; then the monitor, which waits
# for it, can be taken away with the rest. Whoever stops a container has said so in its state
# before, and there is nothing to do here.
#
# Whoever else holds the container's lock finds nothing of this program afterwards: before it has
# the lock it is in the container's cgroups, and goes with them, and then it has the lock until it
# is dead.

_REBOOT = 129
_SHUTDOWN = 130
_HOW = {0: "exit", _REBOOT: "reboot", _SHUTDOWN: "shutdown"}
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 60.0
_STEADY = 60
"""Seconds; what has run for so long did not fail to start."""
_PROMPT_REBOOTS = 3
"""So many in a row have no pause: whoever sets up a system may need some."""


def main() -> None:
    """Handle the end of the container that the command line names."""
    places = Places.of_word(sys.argv[1])
    name = sys.argv[2]
    os.environ.pop("TMPDIR", None)
    current = state.read(places, name)
    if current is None or current.phase == "stopping":
        return
    try:
        rootfs.leave(places)  # first: what it covers shows which cgroups are a user's
        with locks.locked(places, name):
            waiting = handle(places, name)
            if waiting is None:
                os._exit(0)
        _start(places, name, waiting)
    except NotFoundError:
        return  # it has been destroyed meanwhile
    except Exception:
        # Nobody is there to be told.
        (folder_of(places, name) / layout.FAULT).write_text(traceback.format_exc(), "utf-8")
        raise


def handle(places: Places, name: str) -> State | None:
    """Take away what the container had outside its folder; give its state if it is to start again.

    The caller holds the container's lock.
    """
    held = Held(places, load(places, name), state.read(places, name))
    container, current = held.record, held.state
    if current is None or current.monitor != os.getppid():
        return None  # somebody else has seen to it
    cgroups.leave()
    code = state.exit_code(places, name)
    if code is not None and current.phase != "stopping":
        state.write_end(places, name, End(code=code, time=int(time.time())))
        more = usage.kills(places, name)
        held.tell("ended", code=code, how=_HOW.get(code, "failure"), **more)
    held.clean()
    if current.phase == "stopping" or not _wanted(container, code):
        if container.remove and code != _REBOOT:
            create.remove(places, container)
            held.tell("destroyed")
        return None
    waiting = _wait(held, current, rebooted=code == _REBOOT)
    if pause := _pause(waiting):
        held.tell("waiting", seconds=pause, again=_tries(waiting))
    return waiting


def pause_before(again: int) -> float:
    """Give the seconds to wait before that try in a row, twice as many each time up to a limit."""
    if again == 0:
        return 0.0
    pause = _FIRST_PAUSE
    for _ in range(again - 1):
        pause *= 2
        if pause >= _LONGEST_PAUSE:
            return _LONGEST_PAUSE
    return pause


def _wanted(container: Container, code: int | None) -> bool:
    """Tell whether a container that ended so is to be started again."""
    if code == _REBOOT:
        return True
    if container.restart == "always":
        return True
    return container.restart == "on-failure" and code not in {0, _SHUTDOWN}


def _was_steady(current: State) -> bool:
    return time.time() - current.since > _STEADY


def _tries(current: State) -> int:
    """Give how many tries in a row count: a reboot does where one follows the other at once."""
    return current.again + max(current.reboots - _PROMPT_REBOOTS, 0)


def _pause(waiting: State) -> float:
    return pause_before(_tries(waiting))


def _wait(held: Held, before: State, *, rebooted: bool) -> State:
    """Write down that another try is due; nobody else starts it meanwhile, unless asked to."""
    again, reboots = (0, 0) if _was_steady(before) else (before.again, before.reboots)
    failed = not rebooted and not _was_steady(before)
    held.volatile.mkdir(mode=0o700, parents=True)
    return held.become(
        State(
            phase="waiting",
            boot=pids.boot_id(),
            starter=os.getpid(),
            starter_started=pids.start_time(os.getpid()),
            since=int(time.time()),
            again=again + failed,
            reboots=reboots + rebooted,
        )
    )


def _start(places: Places, name: str, waiting: State) -> None:
    """Start it after its pause, unless somebody else has started, stopped or removed it."""
    time.sleep(_pause(waiting))
    # What goes wrong is on the console and in the state; nobody is there to be told.
    with contextlib.suppress(OvenError):
        control.start_again(places, name, waiting)


if __name__ == "__main__":
    main()
