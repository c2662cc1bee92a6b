"""Creation: a new container, which is there whole or not at all."""

from collections.abc import Mapping
from types import MappingProxyType

from builder.host.places import Places
from builder.runtime import allowed, events, limits, storage
from builder.runtime.container import Container


def create(
    places: Places, container: Container, extras: Mapping[str, bytes] = MappingProxyType({})
) -> Container:
    """Make a container after `container`, with ids of its own, and do not start it.

    `extras` are more files for its folder, by name; only root can read them.
    """
    allowed.check(places, container)
    limits.check(places, container)
    made = storage.make(places, container, extras)
    events.record(places, made.name, "created", template=made.template_name)
    return made
