"""Bringing the kernel and a disk to what a container's record says, after whoever did that died."""

import contextlib

import msgspec

from builder.host.places import Places
from builder.host.trees import durable
from builder.model.errors import OvenError
from builder.runtime.bundle import live_devices
from builder.runtime.record import layout, state
from builder.runtime.record.container import Container, save
from builder.runtime.record.layout import folder_of, volatile_of
from builder.runtime.resources import limits
from builder.runtime.storage import writable


def settled(places: Places, container: Container) -> Container:
    """Make record, disk and kernel agree after a change that was cut off; give the record.

    A disk is brought to the size that was wanted, since it cannot always go back; what cannot be
    done any more is given up. The kernel then gets what the record says.
    """
    wish = folder_of(places, container.name) / layout.WISH
    if wish.exists():
        with contextlib.suppress(OvenError, msgspec.MsgspecError):
            wanted = msgspec.json.decode(wish.read_bytes(), type=Container)
            resize(places, container, wanted)
            save(places, wanted)
            container = wanted
        wish.unlink()
    current = state.read(places, container.name)
    if current is not None and state.alive(current):
        restore(places, container, current.pid)
    return container


def restore(places: Places, container: Container, pid: int) -> None:
    """Give the kernel what the record says of a running container, of that first process.

    What cannot be given now, as less memory than is in use, is left to the next command.
    """
    with contextlib.suppress(OvenError):
        limits.apply(container, limits.changes(places, container))
        set_reach(places, container)
        live_devices.settle(places, container, container, pid)
        (volatile_of(places, container.name) / layout.SETTING).unlink(missing_ok=True)


def set_reach(places: Places, container: Container) -> None:
    """Give the networks of a running container their rates, and what of the host they reach."""
    if container.interfaces and not places.ordinary:
        from builder.runtime import network  # slow to import

        network.set_live(places, container)


def resize(places: Places, old: Container, new: Container) -> None:
    """Give a container a disk of another size, if it has not got it yet."""
    if old.limits.disk is None and writable.image_of(places, old.name) is not None:
        return  # its files have moved in before, and only the record did not tell
    from builder.runtime.storage import image  # most containers have none

    # What a disk refuses is refused like all else, and not tried again by every command.
    with durable.disk_errors(folder_of(places, old.name)):
        image.resize(places, old, new.limits)
