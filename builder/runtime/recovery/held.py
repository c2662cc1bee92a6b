"""A container that one command holds: nobody else changes it until its lock is given back."""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from builder.runtime.record import container, events, state
from builder.runtime.record.container import Container
from builder.runtime.record.seen import Seen
from builder.runtime.record.state import State
from builder.runtime.recovery import cleaning

if TYPE_CHECKING:
    from builder.runtime.storage.change import LayerDraft


class Held(Seen):
    """A container under its lock; its record and state are read once, and kept as they change."""

    def save(self, record: Container) -> None:
        """Keep another record."""
        container.save(self.places, record)
        self.record = record

    def become(self, after: State) -> State:
        """Write down what it is now, and give that."""
        self.state = state.become(self.places, self.name, self.state, after)
        return self.state

    @contextlib.contextmanager
    def changing(self, *, frozen: bool = False) -> Iterator["LayerDraft"]:
        """Lend a draft of its layers; what was committed when the block ends is done then.

        `frozen` says that the block halts the container.
        """
        from builder.runtime.storage import change  # most verbs leave layers alone

        try:
            with change.prepared(self.places, self.record, frozen=frozen) as draft:
                yield draft
        finally:
            self.record = change.settled(self.places, self.record)

    def clean(self) -> None:
        """Take away all that it has outside its folder, when it has ended or is to end."""
        cleaning.clean(self.places, self.name, networked=bool(self.record.interfaces))
        self.state = None

    def tell(self, what: str, **more: events.Detail) -> None:
        """Record an event."""
        events.record(self.places, self.name, what, **more)
