"""The life of containers: what one is, how it starts, runs, stops and goes."""

from typing import TYPE_CHECKING

from builder.runtime.recovery import finishing

if TYPE_CHECKING:
    from builder.host.places import Places
    from builder.runtime.record.container import Container
    from builder.runtime.record.state import State


class _Finisher:
    """The floors above recovery; few commands find anything to finish, and load them."""

    def resume(self, places: "Places", name: str, end: finishing.End) -> None:
        from builder.runtime.upgrade import resume

        resume.resume(places, name, end)

    def undo(self, places: "Places", name: str) -> None:
        from builder.runtime.upgrade import resume

        resume.undo(places, name)

    def follow(self, places: "Places", container: "Container", current: "State") -> "State":
        from builder.runtime.lifecycle import readiness

        return readiness.followed(places, container, current)


finishing.by(_Finisher())
