"""Repair: what a dead command has left is undone or finished by whoever takes the lock next."""

import contextlib
import os
from collections.abc import Iterator

from builder.host import pids
from builder.host.places import Places
from builder.host.trees import durable
from builder.host.trees.removal import remove_tree
from builder.model.errors import HostError, NotFoundError
from builder.runtime.record import layout, locks, state
from builder.runtime.record.container import Container, load
from builder.runtime.record.layout import CHANGE, folder_of
from builder.runtime.recovery import cleaning, orphans
from builder.runtime.recovery.finishing import finisher
from builder.runtime.recovery.held import Held

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


@contextlib.contextmanager
def holding(places: Places, name: str) -> Iterator[Held]:
    """Lock a container and give it, once what a dead command was about has ended or is undone."""
    resume(places, name)
    with held(places, name) as container:
        yield container


def resume(places: Places, name: str) -> None:
    """End what a dead command had stopped a container for."""
    # Quicker than Path: `oven exec` asks too.
    if os.path.exists(f"{places.data}/containers/{name}/{layout.TASK}"):  # noqa: PTH110
        finisher().resume(places, name, "running")


@contextlib.contextmanager
def held(places: Places, name: str, *, layers: bool = True) -> Iterator[Held]:
    """Lock a container and give it, repaired after a dead command; begin nothing anew.

    Without `layers`, those are left as they are, and so is the disk that they may lie on.

    Where the container's first process has just ended, whoever sees to that comes first.
    """
    containers = places.data / "containers"
    if containers.is_dir():
        with durable.locked(containers / ".lock", wait=False) as got:
            if got:
                sweep(places)
    patience = cleaning.HANDLED
    while True:
        with locks.locked(places, name):
            container = Held(places, _loaded(places, name, layers=layers), state.read(places, name))
            handler = _handler(container.state) if patience else pids.NOBODY
            if handler.gone:
                handler.close()
                _see_to_processes(container)
                _settle(container)
                yield container
                return
        with handler:
            if not handler.wait(patience):
                patience = 0.0  # it hangs, and is not waited for twice


def _see_to_processes(container: Held) -> None:
    current = container.state
    if _is_over(current):
        container.clean()
        if current is not None and current.pid:
            container.tell("ended", how="unseen")
        return
    if state.is_alone(current):
        container.state = orphans.adopt(container.places, container.name)
    if state.alive(current) and container.record.interfaces:
        from builder.runtime import network

        with contextlib.suppress(HostError):  # names can wait, and the verb has other work
            network.mend_names(container.places)


def _loaded(places: Places, name: str, *, layers: bool) -> Container:
    """Give a container's record, once what moves layers is finished or undone."""
    folder, record = folder_of(places, name), load(places, name)
    if not any((folder / note).exists() for note in (CHANGE, f".{CHANGE}.new")):
        return record
    from builder.runtime.storage import change

    return change.settled(places, record, layers=layers)


def _handler(current: state.State | None) -> pids.HeldProcess:
    """Hold the process that sees to the end of a container that has ended by itself."""
    if current is None or current.phase not in {"booting", "running"} or state.alive(current):
        return pids.NOBODY
    if current.monitor == os.getppid():
        return pids.NOBODY  # it is we who do
    return pids.hold(current.monitor, current.monitor_started)


def _is_over(current: state.State | None) -> bool:
    """Tell whether what a container has outside its folder is of no more use."""
    if current is None or current.phase == "starting":
        return True
    if current.phase == "waiting":
        return not state.waited_for(current)
    return not state.alive(current)


def sweep(places: Places) -> None:
    """Remove the folders of commands that died; the caller holds the lock of all containers."""
    with contextlib.suppress(FileNotFoundError):
        for entry in os.listdir(places.data / "containers"):
            if entry.startswith(locks.DEAD_WITHOUT_LOCK):
                folder = places.data / "containers" / entry
                lock = locks.try_lock(folder)
                if lock is not None:
                    # The record may be missing, so the network is asked whether or not it knows.
                    cleaning.clean(places, entry, networked=_is_networked(places, entry))
                    remove_tree(folder)
                    os.close(lock)


def _settle(container: Held) -> None:
    """Finish or undo what `set` was about."""
    notes = (container.folder / layout.WISH, container.volatile / layout.SETTING)
    if any(note.exists() for note in notes):
        from builder.runtime import reconcile  # nearly none needs it

        container.record = reconcile.settled(container.places, container.record)


def _is_networked(places: Places, name: str) -> bool:
    try:
        return bool(load(places, name).interfaces)
    except NotFoundError:
        return False
