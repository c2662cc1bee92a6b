"""Folders of the host inside containers: binds of what is there, and volumes that Oven keeps."""

import contextlib
import errno
import os
import re
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from builder.host.kernel import mounts
from builder.host.places import Places
from builder.host.trees import durable
from builder.host.trees.removal import remove_tree
from builder.host.trees.treeio import TreeIO
from builder.model.errors import ConflictError, HostError, NotFoundError, RecipeError
from builder.model.value import Value
from builder.runtime.record.container import NAME, Bind, Container, all_names, check_name, load
from builder.runtime.storage import own_volumes
from builder.runtime.storage.own_volumes import is_own

# Owners are the same numbers on both sides: what user 1000 of the host owns belongs to user 1000
# inside. In an ordinary user's containers that user is root, and may do to a folder what the user
# may do outside; who has no id inside is nobody there. Volumes are folders below `volumes/`, made
# when a container is first made that names them.

_GRAVE = ".old."
_NEVER = ("/proc", "/sys", "/dev")
"""What shows the kernel or its devices; a container has these of its own."""
_HIDDEN = ("/proc", "/sys", "/dev", "/run")
"""Other mounts lie over these inside."""


class Volume(Value, frozen=True, kw_only=True):
    """A folder that outlives the containers that use it."""

    name: str
    path: str
    """Where it lies on the host."""
    users: tuple[str, ...]
    """The containers that name it."""
    instance: str | None = None
    """The container that it was made for, where it was made for one."""
    template: str | None = None
    """The name of the template that it was made of."""
    schema: int | None = None
    """The version of the form that its data has."""


_OWN = re.compile(rf"{NAME.pattern}\.{NAME.pattern}")
"""The name of a volume that belongs to an instance."""


def parse(text: str, *, volume: bool) -> Bind:
    """Read `SOURCE:TARGET[:ro]`; raises RecipeError."""
    option = "--volume NAME" if volume else "--bind /FOLDER"
    source, _, rest = text.partition(":")
    target, _, mode = rest.partition(":")
    if not target or mode not in {"", "ro", "rw"}:
        raise RecipeError(
            f"`{text}` names no folder inside", hint=f"write `{option}:/FOLDER-INSIDE[:ro]`"
        )
    if volume and not _OWN.fullmatch(source):
        check_name(source)
    elif not volume and not source.startswith("/"):
        raise RecipeError(
            f"`{source}` is no absolute path",
            hint=f"write it from `/` on, or `--volume {source}:{target}` for a volume",
        )
    return Bind(source=source, target=target, read_only=mode == "ro")


def check_binds(
    places: Places, container: Container, drafted: frozenset[str] = frozenset()
) -> None:
    """Refuse binds that cannot be, and make the volumes that are missing, but for the `drafted`."""
    if container.binds:
        check(places, container.binds)
        make_missing(places, (one for one in container.binds if one.source not in drafted))


def check(places: Places, binds: tuple[Bind, ...]) -> None:
    """Refuse binds that would not work or that would give the host away."""
    seen = set()
    for bind in binds:
        target = _target(bind)
        if target in seen:
            raise RecipeError(f"two folders cannot both be seen as `{target}` inside")
        seen.add(target)
        if bind.source.startswith("/"):
            _check_source(places, bind)


def source_of(places: Places, bind: Bind) -> Path:
    """Give the folder or file of the host that a bind shows."""
    return Path(bind.source) if bind.source.startswith("/") else _data(places, bind.source)


def make_missing(places: Places, binds: Iterable[Bind]) -> None:
    """Make the volumes that are named and not there; of instances these are made elsewhere."""
    for bind in binds:
        if is_own(bind):
            find(places, bind.source)
        elif not bind.source.startswith("/"):
            make(places, bind.source)


def make(places: Places, name: str) -> Path:
    """Make a volume; one that is there stays as it is."""
    folder = _folder(places, check_name(name))
    with durable.disk_errors(places.data):
        durable.private(folder.parent)
        folder.mkdir(mode=0o755, exist_ok=True)
        durable.Disk().sync(folder.parent)
    return folder


def every(places: Places) -> tuple[Volume, ...]:
    """List the volumes by name."""
    try:
        there = sorted(os.listdir(places.data / "volumes"))
    except FileNotFoundError:
        return ()
    return tuple(_seen(places, name) for name in there if "." not in name or _OWN.fullmatch(name))


def _seen(places: Places, name: str) -> Volume:
    record = None
    if "." in name:
        with contextlib.suppress(HostError):  # a damaged record is told of where one needs it
            record = own_volumes.read(places, name)
    return Volume(
        name=name,
        path=str(_data(places, name)),
        users=tuple(_users(places, name)),
        instance=record.instance if record else None,
        template=record.template if record else None,
        schema=record.spec.schema if record else None,
    )


def find(places: Places, name: str) -> Volume:
    """Give one volume; NotFoundError when there is none of that name."""
    for volume in every(places):
        if volume.name == name:
            return volume
    raise NotFoundError(
        f"there is no volume `{name}`", hint="`oven volume list` shows those that exist"
    )


def remove(places: Places, name: str) -> None:
    """Remove a volume and all that is in it; ConflictError while a container names it."""
    volumes = places.data / "volumes"
    with (
        durable.disk_errors(volumes),
        durable.locked(places.data / "containers/.lock", what="the containers"),
    ):
        for pattern in (f"{_GRAVE}*", "old.*.*"):  # of a command that was killed, maybe long ago
            for left in volumes.glob(pattern):
                remove_tree(left)
        volume = find(places, name)
        if volume.users:
            raise ConflictError(
                f"the volume `{name}` is used by {', '.join(f'`{one}`' for one in volume.users)}",
                hint=f"oven destroy {' '.join(volume.users)}",
            )
        grave = volumes / f"{_GRAVE}{name}.{os.urandom(4).hex()}"
        _folder(places, name).rename(grave)
        durable.Disk().sync(volumes)
    remove_tree(grave)


def mount(places: Places, container: Container, tree: TreeIO, namespace: int | None) -> None:
    """Mount all that a container is shown, into its root; a `namespace` shifts the owners.

    Targets that are missing are made. No link inside leads a target out of the root: it is resolved
    and mounted upon by descriptor (CVE-2021-30465).
    """
    owner = (container.first_id, container.first_id)
    for bind in sorted(container.binds, key=lambda bind: bind.target.count("/")):
        source = source_of(places, bind)
        try:
            is_folder = stat.S_ISDIR(source.stat().st_mode)
        except OSError as error:
            raise HostError(
                f"`{source}` cannot be shown as `{bind.target}`: {error.strerror}",
                hint="put it back, or make the container anew without it",
            ) from error
        with mounts.file_owner(container.first_id):
            _make_target(tree, bind.target, owner, is_folder=is_folder)
        with tree.handle(bind.target) as target:
            _mount_one(source, bind, target, namespace)


def _mount_one(source: Path, bind: Bind, target: int, namespace: int | None) -> None:
    try:
        mounts.mount_inside(source, target, namespace, read_only=bind.read_only)
    except OSError as error:
        if error.errno in {errno.EINVAL, errno.EPERM} and namespace is None:
            raise HostError(
                f"`{source}` cannot be shown as `{bind.target}`: other file systems are mounted"
                " below it, which an ordinary user cannot leave out",
                hint="show a folder further down, or run it as root",
            ) from error
        if error.errno in {errno.EINVAL, errno.EPERM}:
            raise HostError(
                f"the file system of `{source}` cannot show its files to a container with the"
                " right owners",
                hint="it must be one that the kernel can mount with shifted ids, such as ext4,"
                " xfs, btrfs or tmpfs, and no network file system",
            ) from error
        if error.errno == errno.ENOTDIR:
            raise HostError(
                f"`{bind.target}` inside and `{source}` are not both folders, or both files"
            ) from error
        raise


def _make_target(tree: TreeIO, target: str, owner: tuple[int, int], *, is_folder: bool) -> None:
    try:
        if is_folder:
            tree.mkdir(target, owner=owner)
        elif not tree.exists(target):
            tree.mkdir(target.rpartition("/")[0] or "/", owner=owner)
            tree.write_bytes(target, b"", owner=owner)
    except OSError as error:
        raise HostError(
            f"`{target}` cannot be made inside the container: {error.strerror}",
            hint="something else is in the way there",
        ) from error


def _target(bind: Bind) -> str:
    target = bind.target.rstrip("/")
    parts = target.split("/")
    if not target.startswith("/") or ".." in parts or "." in parts or "" in parts[1:]:
        raise RecipeError(
            f"`{bind.target}` is no place inside a container",
            hint="give a path from `/` on, without `.` and `..`, that is not `/` itself",
        )
    if any(target == one or target.startswith(f"{one}/") for one in _HIDDEN):
        raise RecipeError(
            f"nothing can be shown at `{target}` inside",
            hint="/proc, /sys, /dev and /run are mounts of the container's own",
        )
    return target


def _check_source(places: Places, bind: Bind) -> None:
    source = Path(bind.source)
    try:
        real = source.resolve(strict=True)
    except OSError as error:
        raise NotFoundError(
            f"`{bind.source}` cannot be shown in a container: {error.strerror}"
        ) from error
    data = places.data.resolve()
    if real == data or data in real.parents or real in data.parents:
        raise RecipeError(
            f"`{bind.source}` cannot be shown in a container: Oven keeps all containers there",
            hint="`--volume NAME:/FOLDER` keeps data outside of containers",
        )
    if real == Path("/") or any(real.is_relative_to(one) for one in _NEVER):
        raise RecipeError(
            f"`{bind.source}` cannot be shown in a container: it would give the host away"
        )


def _folder(places: Places, name: str) -> Path:
    return places.data / "volumes" / name


def _data(places: Places, name: str) -> Path:
    """Give the folder that containers see."""
    folder = _folder(places, name)
    return folder / own_volumes.DATA if "." in name else folder


def _users(places: Places, name: str) -> Iterator[str]:

    for one in all_names(places):
        try:
            container = load(places, one)
        except NotFoundError as error:
            if isinstance(error.__cause__, msgspec.MsgspecError):
                yield one  # a damaged record may name it
            continue
        if any(bind.source == name for bind in container.binds):
            yield one
