"""Storage: the folder of a container, and the range of ids that is its own."""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import msgspec

from builder.host import files
from builder.host.places import Places
from builder.host.removal import remove_tree
from builder.model.errors import ConflictError, HostError, NotFoundError
from builder.runtime import allowed, ids, journal, own
from builder.runtime.container import (
    Container,
    check_name,
    encode,
    folder_of,
    rootfs_of,
)


def make(
    places: Places, container: Container, extras: Mapping[str, bytes] = MappingProxyType({})
) -> Container:
    """Keep a new container, with ids of its own; it is there whole or not at all."""
    check_name(container.name)
    _check_template(places, container)
    allowed.check_asked(places, container)
    check_binds(places, container)
    containers = _containers(places)
    with files.disk_errors(containers), files.locked(containers / ".lock", what="the containers"):
        journal.sweep(places)
        target = _refuse_taken(places, container.name)
        container = msgspec.structs.replace(container, first_id=ids.claim(places, container.name))
        draft = containers / f"new.{container.name}"
        with _whole(draft):
            _fill(draft, container)
            for name, data in extras.items():
                files.replace(draft / name, data)
            files.replace(draft / "container.json", encode(container))
            draft.rename(target)
        files.Disk().sync(containers)
    return container


def make_filled(
    places: Places, container: Container, fill: Callable[[Container, Path], None]
) -> Container:
    """Keep a new container that is not empty, with ids of its own; it is there whole or not at all.

    `fill` is given what is kept, under the name of its draft, and the folder with its `upper`.
    """
    check_name(container.name)
    _check_template(places, container)
    allowed.check(places, container)
    check_binds(places, container)
    containers = _containers(places)
    with files.disk_errors(containers):
        with files.locked(containers / ".lock", what="the containers"):
            journal.sweep(places)
            _refuse_taken(places, container.name)
            container = msgspec.structs.replace(
                container, first_id=ids.claim(places, container.name)
            )
            draft = containers / f"new.{container.name}.{os.urandom(4).hex()}"
            _fill(draft, container)
            files.replace(draft / "container.json", encode(container))
            # Filling may take long, and nobody else has to wait meanwhile.
            lock = journal.try_lock(draft)
        try:
            drafted = msgspec.structs.replace(container, name=draft.name)
            with own.opened(places, drafted) as area:
                fill(drafted, area)
                files.Disk().sync_filesystem(area)
            with files.locked(containers / ".lock", what="the containers"):
                _refuse_taken(places, container.name)
                draft.rename(folder_of(places, container.name))
                files.Disk().sync(containers)
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
    check_binds(places, container)
    containers = _containers(places)
    with files.disk_errors(containers), files.locked(containers / ".lock", what="the containers"):
        journal.sweep(places)
        name = f"run.{os.urandom(4).hex()}"
        container = msgspec.structs.replace(container, name=name, first_id=ids.claim(places, name))
        folder = folder_of(places, name)
        with _whole(folder):
            _fill(folder, container)
            # Not synced: after a crash of the host it is swept anyway.
            (folder / "container.json").write_bytes(encode(container))
        lock = journal.try_lock(folder)
    if lock is None:
        raise HostError(f"`{folder}` is locked by another program")
    return container, lock


def change(places: Places, container: Container) -> None:
    """Keep another record of a container; the caller holds its lock."""
    with files.disk_errors(places.data):
        files.replace(folder_of(places, container.name) / "container.json", encode(container))


def check_binds(places: Places, container: Container) -> None:
    """Refuse binds that cannot be, and make the volumes that are missing."""
    if container.binds:
        from builder.runtime import volumes

        volumes.check(places, container.binds)
        volumes.make_missing(places, container.binds)


def remove(places: Places, container: Container) -> None:
    """Remove a container's folder; once this has begun, the container is gone for good."""
    name, containers = container.name, places.data / "containers"
    grave = containers / f"old.{name}.{os.urandom(4).hex()}"
    folder_of(places, name).rename(grave)
    files.Disk().sync(containers)
    ids.release(places, container)
    remove_tree(grave)


def names(places: Places) -> list[str]:
    """List the containers by name; drafts and graves hold a dot and are none."""
    try:
        entries = os.listdir(places.data / "containers")
    except FileNotFoundError:
        return []
    return sorted(entry for entry in entries if "." not in entry)


def _containers(places: Places) -> Path:
    """Give the folder of all containers, which is there then."""
    folder = places.data / "containers"
    with files.disk_errors(folder):
        return files.private(folder)


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
    if container.limits.disk is None:
        own.fill(folder)
        return
    from builder.runtime import disk  # programs of the host make it, which most starts do without

    disk.make(folder, container.limits)


def _check_template(places: Places, container: Container) -> None:
    rootfs = rootfs_of(places, container)
    if not rootfs.is_dir():
        raise NotFoundError(
            f"the tree of template `{container.template_name}` is not there", at=rootfs
        )
