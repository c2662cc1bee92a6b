"""Devices of the host for a container that starts: named ones, and those of its features."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from builder.host.kernel import hierarchies, mounts
from builder.host.places import Places
from builder.model.errors import HostError, RecipeError
from builder.runtime.record.container import Container
from builder.runtime.record.given import Given

OF_FEATURES = {"tun": "/dev/net/tun", "fuse": "/dev/fuse", "kmsg": "/dev/kmsg"}
_NUMBERS = {"/dev/net/tun": (10, 200), "/dev/fuse": (10, 229), "/dev/kmsg": (1, 11)}
"""Those of the same, which are the same everywhere (admin-guide/devices.txt of the kernel)."""
_FOR_ALL = ("/dev/net/tun", "/dev/fuse")
"""What asks by itself whether a caller may do what it wants (udev has the same mode)."""
_AS_IT_IS = ("/dev/kmsg",)
"""Nobody inside may write there: whatever that says becomes the host's."""
_OWN = (
    "console", "ptmx", "pts", "shm", "mqueue", "null", "zero", "full", "random", "urandom", "tty",
)  # fmt: skip
"""What each container has."""


def check(path: str) -> str:
    """Refuse what cannot name a device; raises RecipeError."""
    first, _, _ = path.removeprefix("/dev/").partition("/")
    clean = path.startswith("/dev/") and os.path.normpath(path) == path
    if not clean or first in _OWN or first.startswith("."):
        raise RecipeError(
            f"`{path}` cannot be given to a container",
            hint="name a device of the host by its whole path, such as /dev/ttyUSB0",
        )
    return path


def wanted(container: Container | Given) -> tuple[str, ...]:
    """List what a container gets, by the path that it has on both sides."""
    features = (OF_FEATURES[one] for one in container.features if one in OF_FEATURES)
    return tuple(dict.fromkeys((*features, *container.devices)))


def filtered() -> bool:
    """Tell whether the kernel lets through for good what was allowed at a container's start.

    In version 2 that is a program (cgroup-v2.rst, "Device controller"), which another can only
    narrow. An ordinary user's containers have none.
    """
    return hierarchies.layout() is hierarchies.Layout.UNIFIED and not hierarchies.is_of_user()


def lay_out(places: Places, container: Container) -> None:
    """Make nodes that belong to root inside, in the room of a container that is about to start.

    HostError when the host has no such device.
    """
    paths = wanted(container)
    if not paths:
        return
    places.devices.mkdir()
    mounts.mount_devices(places.devices)
    for path in paths:
        status_of(path)
        target = source_of(places, path)
        target.parent.mkdir(parents=True, exist_ok=True)
        if is_as_it_is(places, path):
            target.touch()
            mounts.bind(Path(path), target)
        else:
            make(path, target, container.first_id)


def is_as_it_is(places: Places, path: str) -> bool:
    """Tell whether the host's own node is shown: who is not root cannot make another."""
    return places.ordinary or path in _AS_IT_IS


def make(path: str, target: Path, owner: int) -> None:
    """Make a node for the same device that belongs to somebody else."""
    status = Path(path).stat()
    os.mknod(target, status.st_mode, status.st_rdev)
    target.chmod(0o666 if path in _FOR_ALL else stat.S_IMODE(status.st_mode))
    os.chown(target, owner, owner)


def source_of(places: Places, path: str) -> Path:
    """Give where the node for a path lies in the room."""
    return places.devices / path.removeprefix("/dev/")


def rules(container: Container) -> Iterator[dict[str, object]]:
    """Allow them in the container's cgroup (OCI runtime specification, "Allowed Device List").

    Where nothing can be allowed later, what features bring is allowed to all: the wall is that a
    container has no node of it, and cannot make one.
    """
    if filtered():
        yield from (_rule("c", *numbers) for numbers in _NUMBERS.values())
    for path in wanted(container):
        status = status_of(path)
        kind = "b" if stat.S_ISBLK(status.st_mode) else "c"
        yield _rule(kind, os.major(status.st_rdev), os.minor(status.st_rdev))


def _rule(kind: str, major: int, minor: int) -> dict[str, object]:
    return {"allow": True, "type": kind, "major": major, "minor": minor, "access": "rwm"}


def status_of(path: str) -> os.stat_result:
    """Look at a device of the host; HostError when there is none."""
    try:
        status = Path(path).stat()
    except OSError as error:
        raise HostError(
            f"this host has no device `{path}`: {error.strerror}",
            hint=_HINTS.get(path, "`--device none` takes devices away from a container"),
        ) from None
    if not stat.S_ISCHR(status.st_mode) and not stat.S_ISBLK(status.st_mode):
        raise HostError(f"`{path}` of this host is no device")
    return status


_HINTS = {"/dev/net/tun": "`modprobe tun`", "/dev/fuse": "`modprobe fuse`"}
