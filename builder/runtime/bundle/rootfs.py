"""The room that a container starts in: mounts that only its own processes have."""

import contextlib
import os
import stat
from pathlib import Path

import msgspec

from builder.host.kernel import hierarchies, mounts
from builder.host.overlayfs.mount import Overlay, mount_for
from builder.host.places import Places
from builder.host.trees.treeio import TreeIO
from builder.model.errors import HostError
from builder.model.value import hex_of
from builder.runtime.bundle import devices, lookup, names
from builder.runtime.record import layout
from builder.runtime.record.container import Container, rootfs_of
from builder.runtime.record.layout import folder_of
from builder.runtime.storage import writable

# All of this happens in a process that is about to become conmon or the OCI runtime. Every room
# uses the same folder of the host as its mount point, each sees its own mounts there, and nobody
# else sees any: nothing can be left behind.

_REAL_FOLDERS = ("proc", "sys", "dev", "run", "etc")
"""The runtime mounts or writes here; a link in place of one leads out (CVE-2021-30465 and kin)."""


class RootfsSpec(msgspec.Struct, frozen=True):
    """What a container's root is made of."""

    places: Places
    container: Container
    volatile: bool = False
    """Whether it is thrown away afterwards."""
    shared: Path | None = None
    """The folder that becomes `/run/host`."""
    resolvers: tuple[str, ...] = ()


def enter(room: RootfsSpec) -> str:
    """Move this process into a new room, and give the host name that its files say.

    `cgroups.join` is the caller's part.
    """
    container, places = room.container, room.places
    look_into(room)
    devices.lay_out(places, container)
    if room.shared is not None:
        mounts.bind_locked(room.shared, places.shared)
    with TreeIO(places.rootfs) as tree:
        _check(tree)
        lookup.check_tables(tree)
        # Only ids of the container exist in its layer; files of plain root could not be made.
        with mounts.file_owner(container.first_id), told_of_disk(room):
            fresh = frozenset(path for path in (names.HOSTS, names.RESOLV) if _is_fresh(room, path))
            hostname = names.write(tree, container, room.resolvers, first=fresh)
    if hierarchies.layout() is hierarchies.Layout.LEGACY:
        hierarchies.show_legacy_only(_lower(places))
    return hostname


def look_into(room: RootfsSpec) -> None:
    """Mount the root of a container that does not run, for this process alone.

    The caller holds the container's lock, since an overlay has one user at a time.
    """
    places = room.places
    places.point.mkdir(mode=0o711, parents=True, exist_ok=True)
    mounts.private_namespace()
    # The container's root walks this path without any rights on the host.
    mounts.mount_tmpfs(places.point, "mode=711")
    for folder in (places.rootfs, places.shared, places.own, _lower(places)):
        folder.mkdir()
    places.temporary.mkdir(mode=0o700)
    with told_of_disk(room):
        _mount_root(room)
    if room.container.binds:
        with TreeIO(places.rootfs) as tree:
            _check(tree)
            _mount_binds(room, tree)


def told_of_disk(room: RootfsSpec) -> contextlib.AbstractContextManager[None]:
    """Have it told when the own disk of a room that has been entered is full or damaged."""
    if writable.image_of(room.places, room.container.name) is None:
        return contextlib.nullcontext()
    return writable.told_of_disk(room.places, room.container.name, room.places.disk)


def leave(places: Places) -> None:
    """See the host as it is again; the rest of this namespace stays for those who are in it."""
    if hierarchies.layout() is hierarchies.Layout.LEGACY:
        mounts.detach(hierarchies.ROOT)
    mounts.detach(places.point)


def _lower(places: Places) -> Path:
    """Give a place for what is needed only while the room is made."""
    return places.point / "lower"


def _mount_root(room: RootfsSpec) -> None:
    places, first = room.places, room.container.first_id
    area = folder_of(places, room.container.name)
    image = writable.image_of(places, room.container.name)
    if image is not None:
        from builder.host.trees import images  # most containers have none

        places.disk.mkdir()
        images.mount(image, places.disk)
        _prepare(places.disk)
        area = places.disk
    _show(rootfs_of(places, room.container), _lower(places), area, room)
    between = (places.own / layout.LAYERS / layer for layer in room.container.layers)
    layers = Overlay(
        lowers=(*between, _lower(places)),
        upper=places.own / layout.UPPER,
        work=places.own / layout.WORK,
        volatile=room.volatile,
        of_user=first == 0,
    )
    try:
        mount_for(first, layers, places.rootfs)
    except OSError:
        # Nothing may be left to make the working folder of, whatever errno that comes out as.
        if image is None or not writable.spend(places.disk):
            raise
        mount_for(first, layers, places.rootfs)
    mounts.detach(_lower(places))


def _prepare(target: Path) -> None:
    try:
        writable.fill(target)
    except OSError:
        if not writable.spend(target):
            raise
        writable.fill(target)
    writable.lay_by(target)


def _show(rootfs: Path, lower: Path, area: Path, room: RootfsSpec) -> None:
    """Show the template and the container's own files with the owners that they have inside."""
    if room.container.first_id == 0:
        # Who has but one range of ids keeps files in it already.
        mounts.bind(rootfs, lower)
        mounts.bind(area, room.places.own)
        return
    with mounts.user_namespace(room.container.first_id, room.container.ids) as namespace:
        mounts.mount_idmapped(rootfs, lower, namespace)
        mounts.mount_idmapped(area, room.places.own, namespace)


def _mount_binds(room: RootfsSpec, tree: TreeIO) -> None:
    from builder.runtime.storage import volumes  # most containers have none

    if room.container.first_id == 0:
        # An ordinary user's: the user is root inside already, and whoever else owns a file nobody.
        volumes.mount(room.places, room.container, tree, None)
        return
    with mounts.user_namespace(room.container.first_id, room.container.ids) as namespace:
        volumes.mount(room.places, room.container, tree, namespace)


def _check(tree: TreeIO) -> None:
    """Refuse a root whose mount points are not plain folders, seen through both layers."""
    for name in _REAL_FOLDERS:
        try:
            mode = tree.lstat(name).st_mode
        except FileNotFoundError:
            raise HostError(
                f"`/{name}` is missing in the container's root",
                hint="a template needs the folders /proc, /sys, /dev, /run and /etc",
            ) from None
        if not stat.S_ISDIR(mode):
            raise HostError(
                f"`/{name}` is not a folder in the container's root",
                hint="a link there would lead the runtime out of the container; "
                "do not use this template",
            )


def _is_fresh(room: RootfsSpec, path: str) -> bool:
    """Tell whether a file is still the template's: no layer of the container has one of its own."""
    layers = (layout.UPPER, *(f"{layout.LAYERS}/{layer}" for layer in room.container.layers))
    with TreeIO(room.places.own) as own:
        return not any(own.exists(f"{layer}/{path}") for layer in layers)


def resolvers_for(places: Places, container: Container) -> tuple[str, ...]:
    """List the name servers that a container is told of."""
    if not container.interfaces:
        return ()
    from builder.runtime import network

    return network.resolvers_for(places, container)


class _Made(msgspec.Struct):
    """The one thing of a template's manifest that the kernel's filter depends on."""

    arch: str = ""


def needs_socketcall(places: Places, container: Container) -> bool:
    """Tell whether a container's programs make sockets by a call that hides the family (i386).

    The template says so, and not the tree, which root inside can change.
    """
    if machine() != "x86_64":
        return False
    manifest = places.data / "templates" / hex_of(container.template) / "manifest.json"
    try:
        return msgspec.json.decode(manifest.read_bytes(), type=_Made).arch == "i386"
    except (FileNotFoundError, msgspec.MsgspecError):
        return False


def machine() -> str:
    """Give the kind of processor, as uname(2) names it."""
    return os.uname().machine
