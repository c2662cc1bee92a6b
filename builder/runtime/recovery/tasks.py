"""Tasks: what a container was stopped for, written down so that whoever comes next ends it."""

import contextlib
import os
from collections.abc import Iterator

import msgspec

from builder.host import notices, pids
from builder.host.places import Places
from builder.host.trees import durable
from builder.model.errors import StageError
from builder.model.value import Value, canonical
from builder.runtime.record import layout
from builder.runtime.record.layout import folder_of
from builder.runtime.recovery import repair
from builder.runtime.recovery.finishing import finisher

# A restart, and all that changes the layers of a container that runs, stops it first and starts it
# afterwards. Each of these steps is whole or not at all, and repaired under the lock. What they add
# up to is kept here: `task.json` is written before the first and removed after the last one, and
# `resume` does what is left.


class UpgradeTrial(Value, frozen=True, kw_only=True):
    """The trial of a new template: what it has to stand, and the way back."""

    snapshot: str
    """What the container was; it is there once the template has been changed."""
    template: str
    """The name of the new one, for people."""
    start: bool
    """Whether it is tried at all; else that is left to a person."""
    timeout: float
    """Seconds that it may take until it is ready."""
    failed: tuple[str, ...] = ()
    """Units that had failed before."""
    install: tuple[str, ...] = ()
    automatic: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    configs: tuple[str, ...] = ()
    libraries: bool = False
    """What is left to do inside, as in an `UpgradePlan`."""
    back: bool = False
    """Whether it has failed."""


class Task(Value, frozen=True, kw_only=True):
    """What a command is about, and who that is; kept as `task.json` in the container's folder."""

    runs: bool
    """Whether the container is to run in the end, as it did before."""
    trial: UpgradeTrial | None = None
    boot: str = ""
    pid: int = 0
    started: int = 0


_READ = msgspec.json.Decoder(Task).decode


@contextlib.contextmanager
def begun(places: Places, name: str, *, runs: bool) -> Iterator[None]:
    """Write down that a container is stopped for a task, which is over when the block ends.

    What goes wrong there, Ctrl-C included, is undone, and what ran before runs again. Where that
    cannot be done now, the next command does it.
    """
    _begin(places, name, runs=runs)
    try:
        yield
    except StageError:
        forget(places, name)  # it has been started, and that is what went wrong
        raise
    except BaseException:
        finisher().undo(places, name)
        raise
    forget(places, name)


def _begin(places: Places, name: str, *, runs: bool) -> None:
    while True:
        with repair.holding(places, name), durable.disk_errors(folder_of(places, name)):
            other = read(places, name)
            holder = pids.hold(other.pid, other.started) if other else pids.NOBODY
            if other is None or holder.gone:
                holder.close()
                write(places, name, Task(runs=runs))
                return
        notices.tell(
            f"waiting for `{pids.command_line(other.pid)}` (pid {other.pid}), which is at work"
            f" on container `{name}`"
        )
        with holder:
            holder.wait(pids.FOREVER)


def is_left(places: Places, name: str) -> bool:
    """Tell whether the command that had a task has died; quick, since each command asks."""
    if not os.path.exists(f"{places.data}/containers/{name}/{layout.TASK}"):  # noqa: PTH110
        return False
    task = read(places, name)
    return task is not None and not _lives(task)


def read(places: Places, name: str) -> Task | None:
    """Give what was written down; None when there is nothing that can be read."""
    try:
        return _READ((folder_of(places, name) / layout.TASK).read_bytes())
    except (FileNotFoundError, NotADirectoryError, msgspec.MsgspecError):
        return None


def write(places: Places, name: str, task: Task) -> None:
    """Write down a task as our own."""
    pid = os.getpid()
    ours = msgspec.structs.replace(task, boot=pids.boot_id(), pid=pid, started=pids.start_time(pid))
    durable.replace(folder_of(places, name) / layout.TASK, canonical(ours))


def forget(places: Places, name: str) -> None:
    """Say that all is done; the container may be gone too."""
    folder = folder_of(places, name)
    with contextlib.suppress(FileNotFoundError):
        (folder / layout.TASK).unlink()
        durable.Disk().sync(folder)


def _lives(task: Task) -> bool:
    return task.boot == pids.boot_id() and pids.is_alive(task.pid, task.started)
