"""Given: what of the kernel and the host's devices a running container has, beside its record."""

import msgspec

from builder.host.places import Places
from builder.host.trees import durable
from builder.model.feature import Feature
from builder.model.value import Value, canonical
from builder.runtime.record import layout
from builder.runtime.record.container import Container
from builder.runtime.record.layout import volatile_of


class Given(Value, frozen=True, kw_only=True):
    """What it has now, whatever it shall have; kept as `given.json` while it runs."""

    features: tuple[Feature, ...]
    devices: tuple[str, ...]
    ids: int


def at_start(container: Container) -> Given:
    """Tell what a container gets that is started now."""
    return Given(features=container.features, devices=container.devices, ids=container.ids)


def read(places: Places, name: str) -> Given | None:
    """Give what was last written; None where an Oven started it that did not write this down."""
    try:
        data = (volatile_of(places, name) / layout.GIVEN).read_bytes()
        return msgspec.json.decode(data, type=Given)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None


def write(places: Places, name: str, given: Given) -> None:
    """Write it down."""
    durable.replace(volatile_of(places, name) / layout.GIVEN, canonical(given))
