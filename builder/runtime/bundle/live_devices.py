"""Devices of the host that a running container is given, and that are taken away from it."""

import errno
import os
import stat
from functools import partial
from pathlib import Path

import msgspec

from builder.host import pids
from builder.host.kernel import cgroups, mounts
from builder.host.kernel.visits import visit
from builder.host.places import Places
from builder.host.trees.treeio import NOTHING, TreeIO
from builder.model.errors import HostError
from builder.model.visible import visible
from builder.runtime.bundle import devices, lookup
from builder.runtime.record import given
from builder.runtime.record.container import Container
from builder.runtime.record.given import Given
from builder.runtime.record.layout import cgroup_of
from builder.runtime.resources import limits

# Nothing of the container runs for this. A node is made in mounts of our own and put on a file
# of the container's /dev, which is all that root inside could be in the way of. It is taken away as
# umount(8) does it: what is in use stays, and is told. Root inside may have mounted it elsewhere
# too; in version 1 the cgroup no longer lets it through, else it has that until it is stopped.

_USUAL = {(1, minor) for minor in (3, 5, 7, 8, 9)} | {(5, minor) for minor in (0, 1, 2)}
"""Devices that each container has, by whatever name somebody asks for them."""


class Plan(msgspec.Struct, frozen=True):
    """What is to be done to the devices of a running container."""

    give: tuple[str, ...] = ()
    take: tuple[str, ...] = ()
    late: tuple[str, ...] = ()
    """What it gets only with its next start."""


def plan(places: Places, container: Container, before: Container) -> Plan:
    """Compare what a running container of the record `before` has with what it shall have."""
    written = given.read(places, container.name)
    had = devices.wanted(written or given.at_start(before))
    shall = devices.wanted(container)
    missing = [path for path in shall if path not in had]
    return Plan(
        give=tuple(path for path in missing if _is_live(path, written)),
        take=tuple(path for path in had if path not in shall),
        late=tuple(path for path in missing if not _is_live(path, written)),
    )


def settle(places: Places, container: Container, before: Container, pid: int) -> tuple[str, ...]:
    """Give a running container what its record says, and take away the rest.

    `pid` is its first process, and `before` the record that held until now. What is in use cannot
    be taken away: it is told, a sentence each. HostError says what could not be given; the caller
    then settles for the record that there was.
    """
    name = container.name
    written = given.read(places, name)
    had, shall = written or given.at_start(before), devices.wanted(container)
    # Before anything is done it says more than there may be, and afterwards what there is.
    now = dict.fromkeys((*devices.wanted(had), *shall))
    if written is not None:
        given.write(places, name, _as_given(had, container, tuple(now)))
    stays = []
    with lookup.root_of(name, pid) as tree:
        guest = _Guest(places, container, pid, tree)
        for path in [path for path in now if path not in shall]:
            if guest.take(path):
                del now[path]
            else:
                stays.append(f"`{path}` stays until it is stopped: {guest.users_of(path)}")
        for path in shall:
            if _is_live(path, written):
                guest.give(path)
            elif guest.node_of(path) is None:
                del now[path]
    if written is not None:
        given.write(places, name, _as_given(had, container, tuple(now)))
    return tuple(stays)


def _is_live(path: str, written: Given | None) -> bool:
    """Tell whether the kernel lets a device through for a container that did not start with it."""
    if not devices.filtered():
        return True
    return written is not None and path in devices.OF_FEATURES.values()


def _as_given(had: Given, container: Container, paths: tuple[str, ...]) -> Given:
    kept = tuple(one for one in had.features if one not in devices.OF_FEATURES)
    asked = dict.fromkeys((*had.features, *container.features))
    named = dict.fromkeys((*had.devices, *container.devices))
    return msgspec.structs.replace(
        had,
        features=(*kept, *(one for one in asked if devices.OF_FEATURES.get(one) in paths)),
        devices=tuple(path for path in named if path in paths),
    )


class _Guest(msgspec.Struct, frozen=True):
    """A running container whose root is open."""

    places: Places
    container: Container
    pid: int
    tree: TreeIO

    def node_of(self, path: str) -> os.stat_result | None:
        """Look at the device that there is inside; what is none counts as nothing."""
        found = _look(self.tree, path)
        return found if found is not None and _is_device(found) else None

    def give(self, path: str) -> None:
        """Give it one device, unless it has that."""
        node = self.node_of(path)
        if node is None:
            device = devices.status_of(path)
            self._let(device, allowed=True)
            try:
                self._show(path)
            except OSError as error:
                raise HostError(
                    f"`{path}` cannot be given to container `{self.container.name}`:"
                    f" {error.strerror}",
                    hint="something else is in the way there; see `ls -l` inside",
                ) from error
        else:
            self._let(node, allowed=True)

    def take(self, path: str) -> bool:
        """Take one away; tell whether it is gone."""
        node = self.node_of(path)
        if node is None:
            return True
        self._let(node, allowed=False)
        with self.tree.entry(path) as (folder, name):
            try:
                visit(self.pid, ("mnt",), partial(_unmount, folder, name))
            except OSError as error:
                if error.errno == errno.EBUSY:
                    return False
                raise HostError(
                    f"`{path}` cannot be taken away from container `{self.container.name}`:"
                    f" {error.strerror}"
                ) from error
        below = _look(self.tree, path)
        if below is not None and stat.S_ISREG(below.st_mode) and below.st_size == 0:
            self.tree.remove(path)
        return below is None or not _is_device(below)

    def users_of(self, path: str) -> str:
        """Say which of its processes have a device open."""
        everyone = cgroups.everyone(cgroup_of(self.places, self.container.name))
        found = [f"{pid} (`{visible(pids.program_of(pid))}`)"
                 for pid in everyone if pids.has_open(pid, path)]  # fmt: skip
        return f"it is open in process {', '.join(found)}" if found else "it is in use inside"

    def _show(self, path: str) -> None:
        owner, tree = self.container.first_id, self.tree
        with mounts.file_owner(owner):
            tree.mkdir(path.rpartition("/")[0], owner=(owner, owner))
            if not tree.exists(path):
                tree.write_bytes(path, b"", owner=(owner, owner))
        self.places.point.mkdir(mode=0o711, parents=True, exist_ok=True)
        copies: list[int] = []
        with tree.opened(path) as target:
            visit(
                self.pid, ("mnt",), lambda: _attach(copies, target),
                pack=lambda: copies.append(_copy(self.places, path, owner)),
            )  # fmt: skip

    def _let(self, device: os.stat_result, *, allowed: bool) -> None:
        """Let a device through or not, where the cgroup can be told that (version 1)."""
        numbers = os.major(device.st_rdev), os.minor(device.st_rdev)
        accounts = cgroups.accounts()
        if accounts.unified or "devices" not in accounts.folders:
            return
        if not allowed and numbers in _USUAL:
            return
        folder = accounts.guest("devices", cgroup_of(self.places, self.container.name))
        kind = "b" if stat.S_ISBLK(device.st_mode) else "c"
        write = limits.KernelWrite(
            folder / ("devices.allow" if allowed else "devices.deny"),
            f"{kind} {numbers[0]}:{numbers[1]} rwm",
        )
        limits.apply(self.container, (write,))


def _look(tree: TreeIO, path: str) -> os.stat_result | None:
    try:
        return tree.lstat(path)
    except OSError as error:
        if error.errno in NOTHING:
            return None
        raise


def _is_device(status: os.stat_result) -> bool:
    return stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode)


def _copy(places: Places, path: str, owner: int) -> int:
    """Make a mount of a node that nobody sees, in mounts of this process alone."""
    mounts.private_namespace()
    if devices.is_as_it_is(places, path):
        return mounts.copy_device(Path(path))
    mounts.mount_devices(places.point)
    node = places.point / "node"
    devices.make(path, node, owner)
    return mounts.copy_device(node)


def _attach(copies: list[int], target: int) -> bytes:
    mounts.attach(copies[0], target)
    return b""


def _unmount(folder: int, name: str) -> bytes:
    mounts.unmount(folder, name)
    return b""
