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
    monitor = None
    if current is not None and current.monitor != os.getppid():
        monitor = pids.hold(current.monitor, current.monitor_started)
    if current is not None and monitor is not None:
        # A monitor whose container has ended still writes the last of the console, then goes.
        if not state.alive(current):
            pids.wait_end(monitor, 2)
        os.close(monitor)
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
        pidfd = pids.hold(pid, started) if pid != os.getppid() else None
        if pidfd is not None:
            pids.send(pidfd, signal.SIGKILL)
            pids.wait_end(pidfd, HANDLED)
            os.close(pidfd)


def _dismiss(waiting: state.State) -> None:
    """End the pause of somebody else's before another try to start a container."""
    if waiting.starter == os.getpid():
        return
    pidfd = pids.hold(waiting.starter, waiting.starter_started)
    if pidfd is not None:
        # It holds no lock, and there is nothing that it would leave.
        pids.send(pidfd, signal.SIGKILL)
        pids.wait_end(pidfd, HANDLED)
        os.close(pidfd)
