"""Instances on disk: what a container of an appliance was told, which only root can read."""

from collections.abc import Mapping

import msgspec

from builder.host.places import Places
from builder.host.trees import durable
from builder.model.instance import Instance
from builder.model.value import Value, canonical
from builder.runtime.record.layout import INSTANCE, SETTLING, folder_of


class Settling(Value, frozen=True, kw_only=True):
    """A change that is under way: what there was, and who has to hear when it is that again."""

    before: Instance
    paths: tuple[str, ...]
    """The files of what there shall be."""
    units: tuple[str, ...]


def read(places: Places, name: str) -> Instance | None:
    """Give what a container was told; None for one that is of no appliance."""
    try:
        data = (folder_of(places, name) / INSTANCE).read_bytes()
    except FileNotFoundError:
        return None
    return msgspec.json.decode(data, type=Instance)


def save(places: Places, name: str, instance: Instance) -> None:
    """Keep what a container is told from now on."""
    durable.replace(folder_of(places, name) / INSTANCE, canonical(instance))


def extras(instance: Instance) -> Mapping[str, bytes]:
    """Give the files that `create` puts into the container's folder."""
    return {INSTANCE: canonical(instance)}


def begin(places: Places, name: str, settling: Settling) -> None:
    """Note a change, so that whoever comes next undoes it when this process dies."""
    durable.replace(folder_of(places, name) / SETTLING, canonical(settling))


def begun(places: Places, name: str) -> Settling | None:
    """Give the change that a dead command has left."""
    try:
        data = (folder_of(places, name) / SETTLING).read_bytes()
    except FileNotFoundError:
        return None
    return msgspec.json.decode(data, type=Settling)


def recovered(places: Places, name: str) -> Instance | None:
    """Undo on disk what a dead command was changing, and give what a container was told."""
    instance, left = read(places, name), begun(places, name)
    if instance is None or left is None:
        return instance
    before = left.before.with_gone(one.path for one in instance.files)
    before = before.with_gone(left.paths)
    save(places, name, before)
    end(places, name)
    return before


def end(places: Places, name: str) -> None:
    """Say that a change is done, or undone."""
    folder = folder_of(places, name)
    (folder / SETTLING).unlink(missing_ok=True)
    durable.Disk().sync(folder)
