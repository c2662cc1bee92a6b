"""What ends a dead command's work: known to the floors above, called by whoever finds it.

Recovery stands below the life of containers and their upgrades, and what was cut off there can only
be ended there. `builder.runtime` says who does, before any of its modules is at work.
"""

from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from builder.host.places import Places
    from builder.runtime.record.container import Container
    from builder.runtime.record.state import State

End = Literal["running", "stopped"]


class Finisher(Protocol):
    """Who can end what a command has begun."""

    def resume(self, places: "Places", name: str, end: End) -> None:
        """End what is left of a task, so that its container runs or is stopped; never fails."""

    def undo(self, places: "Places", name: str) -> None:
        """Take back a task of this very command."""

    def follow(self, places: "Places", container: "Container", current: "State") -> "State":
        """Have a container waited for until it is ready; give its state, to be written."""


_known: list[Finisher] = []


def by(finisher: Finisher) -> None:
    """Say who can."""
    _known[:] = [finisher]


def finisher() -> Finisher:
    """Give who can."""
    (known,) = _known
    return known
