"""Resuming: what is left of a task whose command was cut off, brought to an end."""

import contextlib

from builder.host import notices
from builder.host.places import Places
from builder.model.errors import HostError, NotFoundError, OvenError, StageError
from builder.model.progress import Silent
from builder.runtime.lifecycle import control
from builder.runtime.record import locks, state
from builder.runtime.record.layout import folder_of
from builder.runtime.recovery import repair, tasks
from builder.runtime.recovery.finishing import End
from builder.runtime.recovery.tasks import Task, UpgradeTrial
from builder.runtime.storage import change


def resume(places: Places, name: str, end: End) -> None:
    """End what a dead command has left of a task; never fails, since the next one has its own.

    A trial that was cut off is gone on with. Where the container is about to be stopped, nothing is
    started for it any more: what does not run then goes back.
    """
    # Asked first without the lock, which a command may hold that tells an init inside to halt.
    task = _taken_over(places, name) if tasks.is_left(places, name) else None
    if task is None:
        return
    notices.tell(f"a command was cut off at work on container `{name}`: ending what it began")
    try:
        _end(places, name, task, end)
    except HostError as error:
        notices.tell(
            f"container `{name}` is not as it was yet, the next command tries again: {error}"
        )
    except OvenError as error:
        tasks.forget(places, name)
        notices.tell(f"container `{name}`: {error}")


def undo(places: Places, name: str) -> None:
    """Take back a task of this very command; what cannot be done now is left to the next one."""
    task = tasks.read(places, name)
    if task is None:
        return
    with contextlib.suppress(OvenError, OSError):
        trial = _changed(places, name, task)
        if trial is None:
            _start(places, name, task)
        elif trial.start:
            _go_back(places, name, task, trial)
        tasks.forget(places, name)


def _taken_over(places: Places, name: str) -> Task | None:
    """Make a dead command's task our own; None where there is none, or somebody else was first."""
    with contextlib.suppress(NotFoundError), locks.locked(places, name):
        if tasks.is_left(places, name) and (task := tasks.read(places, name)) is not None:
            tasks.write(places, name, task)
            return task
    return None


def _end(places: Places, name: str, task: Task, end: End) -> None:
    trial = _changed(places, name, task)
    runs = state.status(places, name) != "stopped"
    if trial is None:
        if end == "running":
            _start(places, name, task)
    elif trial.back or (trial.start and end == "stopped" and not runs):
        _go_back(places, name, task, trial)
    elif trial.start:
        _judge(places, name, task, trial)
    tasks.forget(places, name)


def _start(places: Places, name: str, task: Task) -> None:
    if task.runs:
        control.start(places, name, Silent())


def _changed(places: Places, name: str, task: Task) -> UpgradeTrial | None:
    """Give the trial of a new template, if the container stands on that by now."""
    with repair.held(places, name):  # what has been committed is done then
        known = change.snapshots_in(folder_of(places, name))
    trial = task.trial
    return trial if trial is not None and trial.snapshot in known else None


def _judge(places: Places, name: str, task: Task, trial: UpgradeTrial) -> None:
    from builder.runtime.upgrade import upgrade

    try:
        upgrade.judge(places, name, task, Silent())
    except StageError as error:
        notices.tell(error.problem)
    else:
        notices.tell(f"container `{name}` is healthy on `{trial.template}`, and stays on it")


def _go_back(places: Places, name: str, task: Task, trial: UpgradeTrial) -> None:
    from builder.runtime.upgrade import upgrade

    upgrade.go_back(places, name, task, trial, Silent())
    notices.tell(f"container `{name}` is as it was before the upgrade to `{trial.template}`")
