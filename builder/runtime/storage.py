"""Storage: the folder of a container, and the range of ids that is its own."""

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import msgspec

from builder.host import files
from builder.host.places import Places
from builder.host.removal import remove_tree
from builder.model.errors import ConflictError, HostError, NotFoundError
from builder.runtime import journal, own
from builder.runtime.container import (
    IDS,
    Container,
    check_name,
    encode,
    folder_of,
    rootfs_of,
)

_FIRST_ID = 524288
_LAST_ID = (1 << 31) - 1
"""Some programs keep ids in a signed 32-bit number."""


class _OwnIds(msgspec.Struct, rename="kebab"):
    """The one part of a record that choosing ids needs; damage elsewhere must not hide it."""

    first_id: int


def make(
    places: Places, container: Container, extras: Mapping[str, bytes] = MappingProxyType({})
) -> Container:
    """Keep a new container, with ids of its own; it is there whole or not at all."""
    check_name(container.name)
    _check_template(places, container)
    check_binds(places, container)
    containers = places.data / "containers"
    with files.disk_errors(containers), files.locked(containers / ".lock"):
        journal.sweep(places)
        target = _refuse_taken(places, container.name)
        container = msgspec.structs.replace(container, first_id=_free_ids(places))
        draft = containers / f"new.{container.name}"
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
    check_binds(places, container)
    containers = places.data / "containers"
    with files.disk_errors(containers):
        with files.locked(containers / ".lock"):
            journal.sweep(places)
            _refuse_taken(places, container.name)
            container = msgspec.structs.replace(container, first_id=_free_ids(places))
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
            with files.locked(containers / ".lock"):
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
    check_binds(places, container)
    containers = places.data / "containers"
    with files.disk_errors(containers), files.locked(containers / ".lock"):
        journal.sweep(places)
        name = f"run.{os.urandom(4).hex()}"
        container = msgspec.structs.replace(container, name=name, first_id=_free_ids(places))
        folder = folder_of(places, name)
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


def remove(places: Places, name: str) -> None:
    """Remove a container's folder; once this has begun, the container is gone for good."""
    containers = places.data / "containers"
    grave = containers / f"old.{name}.{os.urandom(4).hex()}"
    folder_of(places, name).rename(grave)
    files.Disk().sync(containers)
    remove_tree(grave)


def names(places: Places) -> list[str]:
    """List the containers by name; drafts and graves hold a dot and are none."""
    try:
        entries = os.listdir(places.data / "containers")
    except FileNotFoundError:
        return []
    return sorted(entry for entry in entries if "." not in entry)


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


def _free_ids(places: Places) -> int:
    """Find the first block that no container and no user of this host has.

    An ordinary user has but one, which begins at 0 in the namespace that containers are made in.
    """
    if places.ordinary:
        return 0
    taken = [*_ids_of_containers(places.data / "containers"), *_ids_of_users()]
    for first in range(_FIRST_ID, _LAST_ID - IDS, IDS):
        if not any(first < start + count and start < first + IDS for start, count in taken):
            return first
    raise HostError("no range of 65536 ids is free", hint="destroy containers that are not needed")


def _ids_of_containers(containers: Path) -> Iterator[tuple[int, int]]:
    for name in os.listdir(containers):
        record = containers / name / "container.json"
        try:
            data = record.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            continue
        try:
            yield msgspec.json.decode(data, type=_OwnIds).first_id, IDS
        except msgspec.MsgspecError as error:
            # Its ids may be in use, and nobody can tell which they are.
            raise HostError(
                f"the record of container `{name}` is damaged: {error}",
                at=record,
                hint="restore it, or remove the container's folder",
            ) from error


def _ids_of_users() -> Iterator[tuple[int, int]]:
    """Read which ids users may map (subuid(5)): `name:first:count`."""
    for table in ("/etc/subuid", "/etc/subgid"):
        try:
            text = Path(table).read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            continue
        for line in text.splitlines():
            fields = line.strip().split(":")
            if len(fields) == 3 and fields[1].isdigit() and fields[2].isdigit():
                yield int(fields[1]), int(fields[2])
