"""Whose containers: root has those of the host, everybody else has some of their own."""

from collections.abc import Iterator

from builder.host.kernel import namespaces
from builder.host.places import Places
from builder.runtime.record import state


def enter(places: Places, name: str = "") -> None:
    """Become able to work on containers, above all on that one; call it before any thread starts.

    Root is. An ordinary user becomes root of the namespace that all of the user's containers share.
    """
    if places.ordinary:
        namespaces.enter_containers(_monitors(places, name))


def _monitors(places: Places, name: str) -> Iterator[int]:
    """Give the monitors of what runs, that of the one container first."""
    volatile = places.runtime / "containers"
    found = sorted(path.name for path in volatile.glob("[!.]*")) if volatile.is_dir() else []
    for one in ([name] if name else []) + found:
        current = state.read(places, one)
        if current is not None and state.alive(current):
            yield current.monitor
