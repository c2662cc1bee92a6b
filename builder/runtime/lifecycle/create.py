"""Creation: a new container, with ids of its own, which is there whole or not at all."""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import msgspec

from builder.host.places import Places
from builder.host.trees import durable
from builder.host.trees.removal import remove_tree
from builder.model.errors import ConflictError, HostError, NotFoundError
from builder.model.volume import VolumeSpec
from builder.runtime.lifecycle import allowed
from builder.runtime.record import events, ids, layout, locks
from builder.runtime.record.container import Container, check_name, encode, rootfs_of
from builder.runtime.record.layout import folder_of
from builder.runtime.recovery import repair
from builder.runtime.resources import limits
from builder.runtime.storage import volumes, writable
from builder.runtime.storage.own_volumes import Draft


def create(
    places: Places,
    container: Container,
    extras: Mapping[str, bytes] = MappingProxyType({}),
    keeps: Sequence[VolumeSpec] = (),
) -> Container:
    """Make a container after `container`, with ids of its own, and do not start it.

    `extras` are more files for its folder, by name; only root can read them. What it `keeps` are
    volumes of its own, beside those that the record names.
    """
    allowed.check(places, container)
    limits.check(places, container)
    if keeps:
        from builder.runtime.lifecycle import keeping  # most containers keep nothing

        with keeping.prepared(places, container, keeps) as (container, drafts):
            made = make(places, container, extras, drafts)
    else:
        made = make(places, container, extras)
    events.record(places, made.name, "created", template=made.template_name)
    return made


def make(
    places: Places,
    container: Container,
    extras: Mapping[str, bytes] = MappingProxyType({}),
    drafts: Sequence[Draft] = (),
) -> Container:
    """Keep a new container, with ids of its own; it is there whole or not at all.

    Its volumes come before it: who dies in between leaves some that its next try takes as they are.
    """
    check_name(container.name)
    _check_template(places, container)
    allowed.check_asked(places, container)
    volumes.check_binds(places, container, frozenset(one.name for one in drafts))
    containers = _containers(places)
    with (
        durable.disk_errors(containers),
        durable.locked(containers / ".lock", what="the containers"),
    ):
        repair.sweep(places)
        target = _refuse_taken(places, container.name)
        container = msgspec.structs.replace(container, first_id=ids.claim(places, container))
        draft = containers / f"new.{container.name}"
        with _whole(draft):
            _fill(draft, container)
            for name, data in extras.items():
                durable.replace(draft / name, data)
            durable.replace(draft / layout.RECORD, encode(container))
            for one in drafts:
                one.keep()
            draft.rename(target)
        durable.Disk().sync(containers)
    return container


def make_filled(
    places: Places,
    container: Container,
    fill: Callable[[Container, Path], None],
    drafts: Sequence[Draft] = (),
) -> Container:
    """Keep a new container that is not empty, with ids of its own; it is there whole or not at all.

    `fill` is given what is kept, under the name of its draft, and the folder with its `upper`.
    """
    check_name(container.name)
    _check_template(places, container)
    allowed.check(places, container)
    volumes.check_binds(places, container, frozenset(one.name for one in drafts))
    containers = _containers(places)
    with durable.disk_errors(containers):
        with durable.locked(containers / ".lock", what="the containers"):
            repair.sweep(places)
            _refuse_taken(places, container.name)
            container = msgspec.structs.replace(container, first_id=ids.claim(places, container))
            draft = containers / f"new.{container.name}.{os.urandom(4).hex()}"
            _fill(draft, container)
            durable.replace(draft / layout.RECORD, encode(container))
            # Filling may take long, and nobody else has to wait meanwhile.
            lock = locks.try_lock(draft)
        try:
            drafted = msgspec.structs.replace(container, name=draft.name)
            with writable.opened(places, drafted) as area:
                fill(drafted, area)
                durable.Disk().sync_filesystem(area)
            with durable.locked(containers / ".lock", what="the containers"):
                _refuse_taken(places, container.name)
                for one in drafts:
                    one.keep()
                draft.rename(folder_of(places, container.name))
                durable.Disk().sync(containers)
        except BaseException:
            remove_tree(draft)
            raise
        finally:
            if lock is not None:
                os.close(lock)
    return container


def make_ephemeral(places: Places, container: Container) -> tuple[Container, int]:
    """Make a folder that lasts as long as the lock whose descriptor is given along with it."""
    _check_template(places, container)
    allowed.check_asked(places, container)
    volumes.check_binds(places, container)
    containers = _containers(places)
    with (
        durable.disk_errors(containers),
        durable.locked(containers / ".lock", what="the containers"),
    ):
        repair.sweep(places)
        name = f"run.{os.urandom(4).hex()}"
        container = msgspec.structs.replace(container, name=name)
        container = msgspec.structs.replace(container, first_id=ids.claim(places, container))
        folder = folder_of(places, name)
        with _whole(folder):
            _fill(folder, container)
            # Not synced: after a crash of the host it is swept anyway.
            (folder / layout.RECORD).write_bytes(encode(container))
        lock = locks.try_lock(folder)
    if lock is None:
        raise HostError(f"`{folder}` is locked by another program")
    return container, lock


def remove(places: Places, container: Container) -> None:
    """Remove a container's folder; once this has begun, the container is gone for good."""
    name, containers = container.name, places.data / "containers"
    grave = containers / f"old.{name}.{os.urandom(4).hex()}"
    folder_of(places, name).rename(grave)
    durable.Disk().sync(containers)
    ids.release(places, container)
    remove_tree(grave)


def _containers(places: Places) -> Path:
    """Give the folder of all containers, which is there then."""
    folder = places.data / "containers"
    with durable.disk_errors(folder):
        return durable.private(folder)


@contextlib.contextmanager
def _whole(folder: Path) -> Iterator[None]:
    """Leave nothing of a folder that cannot be filled."""
    try:
        yield
    except BaseException:
        remove_tree(folder)
        raise


def _refuse_taken(places: Places, name: str) -> Path:
    """Give the folder of a container that is not there yet."""
    target = folder_of(places, name)
    if target.exists():
        raise ConflictError(
            f"there is a container `{name}` already",
            hint=f"choose another name, or `oven destroy {name}`",
        )
    return target


def _fill(folder: Path, container: Container) -> None:
    folder.mkdir(mode=0o700)
    if container.limits.disk is None and container.limits.inodes is None:
        writable.fill(folder)
        return
    from builder.runtime.storage import (
        image,  # programs of the host make it, which most starts do without
    )

    image.make(folder, container.limits)


def _check_template(places: Places, container: Container) -> None:
    rootfs = rootfs_of(places, container)
    if not rootfs.is_dir():
        raise NotFoundError(
            f"the tree of template `{container.template_name}` is not there", at=rootfs
        )
