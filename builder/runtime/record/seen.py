"""A container as one command sees it: its record, what is true of it now, and where it lies."""

from pathlib import Path

from builder.host.places import Places
from builder.model.errors import ConflictError
from builder.runtime.record import state
from builder.runtime.record.container import Container, Status
from builder.runtime.record.layout import cgroup_of, folder_of, volatile_of
from builder.runtime.record.state import State


class Seen:
    """A container that somebody looks at; others may change it meanwhile."""

    def __init__(self, places: Places, record: Container, now: State | None) -> None:
        self.places = places
        self.record = record
        """What it is."""
        self.state = now
        """What is true of it, as it was read; None for one that is stopped."""

    @property
    def name(self) -> str:
        """What it is called."""
        return self.record.name

    @property
    def folder(self) -> Path:
        """Where all of it is kept."""
        return folder_of(self.places, self.name)

    @property
    def volatile(self) -> Path:
        """Where what ends with the boot is, while it runs."""
        return volatile_of(self.places, self.name)

    @property
    def cgroup(self) -> str:
        """The name of its cgroup."""
        return cgroup_of(self.places, self.name)

    @property
    def status(self) -> Status:
        """What it does, in one word."""
        return state.status_of(self.state)

    def need_alive(self, or_else: str = "") -> State:
        """Give its state while its init lives, frozen or not; else a ConflictError.

        `or_else` is what else a person may do then.
        """
        if self.state is None or not state.alive(self.state):
            raise self._is_not_running(or_else)
        return self.state

    def need_going(self) -> State:
        """Give its state while its processes can do something; else a ConflictError."""
        now = self.need_alive()
        if now.frozen:
            raise is_frozen(self.name)
        return now

    def need_up(self) -> State:
        """Give its state once its boot is over, and no end of it begun; else a ConflictError."""
        if self.state is None or self.state.phase != "running":
            raise self._is_not_running()
        return self.state

    def need_stopped(self) -> None:
        """Raise ConflictError unless nothing of it is outside its folder."""
        if self.state is not None:
            raise ConflictError(
                f"container `{self.name}` is {self.status}",
                hint=f"add `--stop`, or `oven stop {self.name}` first",
            )

    def _is_not_running(self, or_else: str = "") -> ConflictError:
        hint = f"`oven start {self.name}` first" + (f"; {or_else}" if or_else else "")
        return ConflictError(f"container `{self.name}` is not running", hint=hint)


def is_frozen(name: str) -> ConflictError:
    """Say that nothing can happen in a container."""
    return ConflictError(f"container `{name}` is frozen", hint=f"`oven thaw {name}` first")
