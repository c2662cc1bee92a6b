"""Work on backups: private folders to be at work in, and what is undone after the dead."""

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import msgspec

from builder.host.places import Places
from builder.host.trees import durable
from builder.host.trees.removal import remove_tree
from builder.model.backup import BackupCommand
from builder.model.errors import HostError, NotFoundError, OvenError, StageError
from builder.model.value import Value, canonical
from builder.runtime.access import exec as inside
from builder.runtime.backup.repository import FOLDER
from builder.runtime.lifecycle import control, keeping
from builder.runtime.record import locks
from builder.runtime.storage import volumes

# `backup/work.RANDOM/` is locked by who made it, and by restic while that reads or writes there: so
# nothing is taken from under a restic whose `oven` was killed. What has to be undone is written
# down before it is done.

_BEGIN = "work."
_NOTE = "note.json"
_KILLED = 128 + signal.SIGKILL


class Note(Value, frozen=True, kw_only=True):
    """What is to be undone when this ends badly."""

    name: str = ""
    """The instance inside of which something is to be run."""
    after: tuple[BackupCommand, ...] = ()
    """What that is."""
    volumes: dict[str, int] = {}
    """Volumes that are made, by name, with the inodes that they have: unless a container has them
    by then, they go."""
    throwaway: str = ""
    """A container that is there for a trial alone."""


class Work:
    """A private folder, and what is to be undone."""

    def __init__(self, places: Places, folder: Path, lock: int) -> None:
        self._places = places
        self.folder = folder
        self.lock = lock
        """By which others see that somebody is at work here."""

    def note(self, note: Note) -> None:
        """Write down what is to be undone, instead of what was."""
        durable.replace(self.folder / _NOTE, canonical(note))


@contextlib.contextmanager
def begun(places: Places) -> Iterator[Work]:
    """Lend a folder; what is noted when the block ends badly is undone."""
    home = places.data / FOLDER
    with durable.disk_errors(places.data):
        durable.private(home)
        sweep(places)
        with durable.locked(home / ".lock", what="the backups"):
            folder = home / f"{_BEGIN}{os.urandom(6).hex()}"
            folder.mkdir(mode=0o700)
            lock = locks.try_lock(folder)
        if lock is None:
            raise HostError(f"`{folder}` is locked by another program")
        try:
            yield Work(places, folder, lock)
        except BaseException:
            _undo(places, folder)
            raise
        finally:
            remove_tree(folder)
            os.close(lock)


def sweep(places: Places) -> None:
    """Undo what commands that died have left."""
    home = places.data / FOLDER
    if not home.is_dir():
        return
    with durable.locked(home / ".lock", what="the backups"):
        left = [(one, locks.try_lock(one)) for one in sorted(home.glob(f"{_BEGIN}*"))]
    for folder, lock in left:
        if lock is not None:
            _undo(places, folder)
            remove_tree(folder)
            os.close(lock)


def _undo(places: Places, folder: Path) -> None:
    try:
        note = msgspec.json.decode((folder / _NOTE).read_bytes(), type=Note)
    except (FileNotFoundError, msgspec.MsgspecError):
        return
    if note.throwaway:
        with contextlib.suppress(NotFoundError):
            remove_throwaway(places, note.throwaway)
    with contextlib.suppress(OvenError):  # it may have ended, or be gone
        run_inside(places, note.name, note.after)
    for name, inode in note.volumes.items():
        with contextlib.suppress(OSError, OvenError):
            path = places.data / "volumes" / name
            if path.stat().st_ino == inode:
                volumes.remove(places, name)  # which refuses what a container has


def remove_throwaway(places: Places, name: str) -> None:
    """Remove a container that was there for a trial, with its data."""
    keeping.drop(places, control.destroy(places, name, force=True))


def run_inside(places: Places, name: str, commands: tuple[BackupCommand, ...]) -> None:
    """Run commands inside one after the other; StageError for the first that fails."""
    for one in commands:
        code, said = inside.capture(places, name, one.command, timeout=one.limit)
        if code != 0:
            how = f"ended with {code}"
            if code == _KILLED:
                how = f"was killed: it took longer than {one.timeout}, or printed too much"
            raise StageError(
                f"`{one.command[0]}` {how} in container `{name}`",
                hint="the recipe's `[backup]` says what is run before and after one",
                output=said,
            )
