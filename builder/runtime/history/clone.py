"""Clones: a new container that begins with all that another one has, but is somebody else."""

import contextlib
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from builder.host.kernel import cgroups
from builder.host.places import Places
from builder.host.trees import durable
from builder.host.trees.treeio import TreeIO
from builder.model.errors import ConflictError
from builder.model.network import PortMapping
from builder.model.value import canonical
from builder.runtime.bundle import first_boot, names, pending
from builder.runtime.history import snapshots
from builder.runtime.lifecycle import create, keeping
from builder.runtime.record import events, state
from builder.runtime.record.container import Container, check_name, encode
from builder.runtime.record.layout import CHANGE, LAYERS, RECORD, UPPER, folder_of
from builder.runtime.recovery import repair
from builder.runtime.recovery.held import Held
from builder.runtime.storage import change, layers, live, own_volumes, whole, writable
from builder.runtime.storage.change import LayerChange
from builder.runtime.storage.merged import merged
from builder.runtime.storage.own_volumes import Draft

Forget = Callable[[TreeIO], None]
"""Takes from a tree what two containers must not share."""


@dataclass(frozen=True, slots=True)
class CloneRequest:
    """What a clone is to be."""

    name: str
    ports: tuple[PortMapping, ...] = ()
    snapshot: str | None = None
    """Which moment of its source it continues; None for now."""


def clone(places: Places, name: str, wanted: CloneRequest, forget: Forget) -> Container:
    """Make a new container of one that is there, or of a snapshot of it; it is stopped.

    Frozen layers are linked, what has changed since is copied.
    """
    with repair.holding(places, name) as held, contextlib.ExitStack() as stack:
        source, now = held.record, wanted.snapshot is None
        fresh = _described(source, wanted)
        drafts: list[Draft] = []
        moving: dict[Path, Path] = {}
        if keeping.own_names(source):
            copying = keeping.copied(held, fresh, live=now)
            fresh, drafts, moving = stack.enter_context(copying)
        if wanted.snapshot is not None:
            kept = snapshots.find(held, wanted.snapshot)
            fresh = msgspec.structs.replace(
                fresh, layers=kept.layers, template=kept.template, template_name=kept.template_name
            )

        def fill(made: Container, area: Path) -> None:
            _copy(held, made, area, moving if now else None)
            for draft in drafts if moving else ():
                own_volumes.settle(draft)
            first_boot.pass_on(places, name, made.name)
            if pending.is_instance(places, name):
                from builder.runtime.history import instance_copy

                instance_copy.pass_on(places, name, made, wanted.name)
            with merged(places, made, area) as tree:
                forget(tree)
                names.drop(tree, source.hostname)

        made = create.make_filled(places, fresh, fill, drafts)
    events.record(places, made.name, "created", template=made.template_name, source=name)
    return made


def _described(source: Container, wanted: CloneRequest) -> Container:
    """Make the record of a clone: what is one container's alone is chosen anew or left out."""
    return msgspec.structs.replace(
        source,
        name=check_name(wanted.name),
        uuid=os.urandom(16).hex(),
        created=int(time.time()),
        hostname=wanted.name,
        interfaces=tuple(
            msgspec.structs.replace(one, address=None, address6=None) for one in source.interfaces
        ),
        ports=wanted.ports,
        autostart=None,
        protected=False,
        remove=False,
        address_key="",
    )


def rename(places: Places, name: str, new: str) -> None:
    """Call a stopped container something else; its host name follows if it was the old name."""
    check_name(name)
    check_name(new)
    containers = places.data / "containers"
    with repair.holding(places, name) as held, durable.disk_errors(containers):
        container = held.record
        if state.read(places, name) is not None:
            word = state.status(places, name)
            raise ConflictError(f"container `{name}` is {word}", hint=f"`oven stop {name}` first")
        with durable.locked(containers / ".lock", what="the containers"):
            target = folder_of(places, new)
            if target.exists():
                raise ConflictError(f"there is a container `{new}` already")
            _rename(places, container, target)
        events.record(places, new, "renamed", before=name)


def _rename(places: Places, container: Container, target: Path) -> None:
    folder, disk = folder_of(places, container.name), durable.Disk()
    follows = container.hostname == container.name
    record = msgspec.structs.replace(
        container,
        name=target.name,
        hostname=target.name if follows else container.hostname,
        address_key=container.address_key or str(folder),
    )
    # The folder's name decides: until it has the new one, the next command undoes the rest.
    durable.replace(folder / CHANGE, canonical(LayerChange(rename=target.name, record=container)))
    try:
        if follows:
            with (
                writable.opened(places, container) as area,
                merged(places, container, area) as tree,
            ):
                names.drop(tree, container.hostname)
        durable.replace(folder / RECORD, encode(record))
        disk.rename(folder, target)
        disk.sync(target.parent)
    finally:
        change.settled(places, record if target.exists() else container)


def _copy(source: Held, made: Container, area: Path, moving: Mapping[Path, Path] | None) -> None:
    """Fill a new container's folder with the layers of another one, and its current one.

    `moving` are folders that this one changes, too, and where they are copied, all as of the same
    moment; without any there, None, its current layer is that of a snapshot.
    """
    (area / LAYERS).mkdir(mode=0o700, exist_ok=True)
    with writable.opened(source.places, source.record) as theirs:
        for layer in made.layers:
            whole.link_tree(theirs / LAYERS / layer, area / LAYERS / layer)
        if moving is None:
            if made.layers:
                layers.copy_status(area / LAYERS / made.layers[0], area / UPPER)
            return
        (area / UPPER).rmdir()
        if not state.alive(source.state):
            whole.copy_tree(theirs / UPPER, area / UPPER)
            return
    halts = not cgroups.is_frozen(source.cgroup)
    with source.changing(frozen=halts) as draft:
        folders = {area / UPPER: draft.area / UPPER, **moving}
        live.copy_folders(folders, draft.drafts, source.cgroup)
