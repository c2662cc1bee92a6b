"""Locks, and what is done for a command that died: undone or finished, then forgotten."""

import contextlib
import os
import signal
from collections.abc import Iterator

import msgspec

from builder.host.kernel import cgroups, hierarchies
from builder.host.places import Places
from builder.host.process import pids
from builder.host.trees import durable
from builder.host.trees.removal import remove_tree
from builder.model.errors import HostError, NotFoundError
from builder.runtime import reconcile
from builder.runtime.record import layout, locks, state
from builder.runtime.record.container import Container, load
from builder.runtime.record.layout import CHANGE, cgroup_of, folder_of, volatile_of

# Whoever changes a container holds the lock of its folder, which the kernel frees when the process
# dies. So under the lock everything half done belongs to a dead command:
#   start    `state.json` says `starting`, or the volatile folder is there with no live process;
#            a container whose init has begun is not given up, but waited for by somebody else
#   restart  `state.json` says `waiting`, and who waits has died
#   set      a file `setting` in the volatile folder: the kernel may not hold what the record says;
#            a file `wish.json`: the disk may have the size that the record does not tell yet
#   create   a folder `new.*`, invisible until it is renamed
#   destroy  a folder `old.*`, renamed before anything in it is removed
#   run      a folder `run.*`, whose lock is held as long as the command runs
#   all that stops a container for a while (restart, upgrade, restore --stop ...)   `task.json`
#   all that moves layers (snapshot, restore, upgrade, rename ...)   `change.json`
# Names of containers hold no dot, so these four never meet one.


HANDLED = 30.0
"""Seconds that what follows the end of a container's first process is waited for."""


@contextlib.contextmanager
def holding(places: Places, name: str) -> Iterator[Container]:
    """Lock a container, end or undo what a dead command was about, and give its record."""
    resume(places, name)
    with held(places, name) as container:
        yield container


def resume(places: Places, name: str) -> None:
    """End what a dead command had stopped a container for."""
    # Quicker than Path: `oven exec` asks too.
    if os.path.exists(f"{places.data}/containers/{name}/{layout.TASK}"):  # noqa: PTH110
        from builder.runtime.recovery import resume

        resume.resume(places, name)


@contextlib.contextmanager
def held(places: Places, name: str) -> Iterator[Container]:
    """Lock a container, repair what a dead command left, and give its record; begin nothing anew.

    Where the container's first process has just ended, whoever sees to that comes first.
    """
    containers = places.data / "containers"
    if containers.is_dir():
        with durable.locked(containers / ".lock", wait=False) as got:
            if got:
                sweep(places)
    patience = HANDLED
    while True:
        with locks.locked(places, name):
            container = _loaded(places, name)
            handler = _handler(state.read(places, name)) if patience else None
            if handler is None:
                _see_to_processes(places, container)
                yield _settled(places, container)
                return
        if not pids.wait_end(handler, patience):
            patience = 0.0  # it hangs, and is not waited for twice
        os.close(handler)


def _see_to_processes(places: Places, container: Container) -> None:
    name, current = container.name, state.read(places, container.name)
    if _is_over(current):
        clean(places, name, networked=bool(container.interfaces))
        if current is not None and current.pid:
            _record_unseen(places, name)
    elif state.is_alone(current):
        _adopt(places, name)


def _adopt(places: Places, name: str) -> None:
    from builder.runtime.recovery import (
        orphans,  # nearly all have somebody who waits for them, or are ready
    )

    orphans.adopt(places, name)


def _record_unseen(places: Places, name: str) -> None:
    from builder.runtime.record import events  # most find nothing to repair

    events.record(places, name, "ended", how="unseen")


def _loaded(places: Places, name: str) -> Container:
    """Give a container's record, once what moves layers is finished or undone."""
    folder = folder_of(places, name)
    if not any((folder / note).exists() for note in (CHANGE, f".{CHANGE}.new")):
        return load(places, name)
    from builder.runtime.storage import change

    return change.settled(places, name)


def _handler(current: state.State | None) -> int | None:
    """Hold the process that sees to the end of a container that has ended by itself."""
    if current is None or current.phase not in {"booting", "running"} or state.alive(current):
        return None
    if current.monitor == os.getppid():
        return None  # it is we who do
    return pids.hold(current.monitor, current.monitor_started)


def _is_over(current: state.State | None) -> bool:
    """Tell whether what a container has outside its folder is of no more use."""
    if current is None or current.phase == "starting":
        return True
    if current.phase == "waiting":
        return not state.waited_for(current)
    return not state.alive(current)


def clean(places: Places, name: str, *, networked: bool) -> None:
    """Take away all that a container has outside its folder; nothing to do is fine too."""
    if volatile_of(places, name).exists():
        with pids.undisturbed():
            _clean(places, name, networked=networked)


def sweep(places: Places) -> None:
    """Remove the folders of commands that died; the caller holds the lock of all containers."""
    with contextlib.suppress(FileNotFoundError):
        for entry in os.listdir(places.data / "containers"):
            if entry.startswith(locks.DEAD_WITHOUT_LOCK):
                folder = places.data / "containers" / entry
                lock = locks.try_lock(folder)
                if lock is not None:
                    # The record may be missing, so the network is asked whether or not it knows.
                    clean(places, entry, networked=_is_networked(places, entry))
                    remove_tree(folder)
                    os.close(lock)


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
            state.write(places, name, msgspec.structs.replace(current, phase="stopping"))
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


def _settled(places: Places, container: Container) -> Container:
    """Finish or undo what `set` was about."""
    name = container.name
    notes = (folder_of(places, name) / layout.WISH, volatile_of(places, name) / layout.SETTING)
    if not any(note.exists() for note in notes):
        return container

    return reconcile.settled(places, container)


def _is_networked(places: Places, name: str) -> bool:
    try:
        return bool(load(places, name).interfaces)
    except NotFoundError:
        return False
