"""Cleaning: all that a container has outside its folder, taken away when it has ended."""

import contextlib
import os
import signal

import msgspec

from builder.host import pids
from builder.host.kernel import cgroups, hierarchies
from builder.host.places import Places
from builder.host.trees.removal import remove_tree
from builder.model.errors import HostError
from builder.runtime.record import state
from builder.runtime.record.layout import cgroup_of, volatile_of

HANDLED = 30.0
"""Seconds that what follows the end of a container's first process is waited for."""


def clean(places: Places, name: str, *, networked: bool) -> None:
    """Take away all that a container has outside its folder; nothing to do is fine too."""
    if volatile_of(places, name).exists():
        with pids.undisturbed():
            _clean(places, name, networked=networked)


def _clean(places: Places, name: str, *, networked: bool) -> None:
    current = state.read(places, name)
    if current is not None and current.monitor != os.getppid() and not state.alive(current):
        # A monitor whose container has ended still writes the last of the console, then goes.
        with pids.hold(current.monitor, current.monitor_started) as monitor:
            monitor.wait(2)
    if current is not None and current.phase == "waiting":
        _dismiss(current)
    if current is not None and state.alive(current) and current.phase != "stopping":
        # Or whoever comes after our death takes what is about to end for one that runs.
        with contextlib.suppress(HostError):
            ending = msgspec.structs.replace(current, phase="stopping")
            state.become(places, name, current, ending)
    cgroups.kill(cgroup_of(places, name))
    if current is not None and not hierarchies.available():
        _kill(current)
    # Its record may have lost the networks that it was started with.
    if networked or (current and current.addresses):
        from builder.runtime import network

        network.detach(places, name)
    cgroups.remove(cgroup_of(places, name))
    remove_tree(volatile_of(places, name))


def _kill(current: state.State) -> None:
    """Kill a container that has no cgroup: all in it dies with its first process."""
    for pid, started in (
        (current.pid, current.pid_started),
        (current.monitor, current.monitor_started),
    ):
        if pid != os.getppid():
            _end(pid, started)


def _dismiss(waiting: state.State) -> None:
    """End the pause of somebody else's before another try to start a container."""
    if waiting.starter != os.getpid():
        # It holds no lock, and there is nothing that it would leave.
        _end(waiting.starter, waiting.starter_started)


def _end(pid: int, started: int) -> None:
    with pids.hold(pid, started) as process:
        process.send(signal.SIGKILL)
        process.wait(HANDLED)
