"""Devices of the host inside a container: named ones, and those that a feature stands for."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from builder.host.kernel import mounts
from builder.host.places import Places
from builder.model.errors import HostError, RecipeError
from builder.runtime.record.container import Container

OF_FEATURES = {"tun": "/dev/net/tun", "fuse": "/dev/fuse", "kmsg": "/dev/kmsg"}
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


def wanted(container: Container) -> tuple[str, ...]:
    """List what a container gets, by the path that it has on both sides."""
    features = (OF_FEATURES[one] for one in container.features if one in OF_FEATURES)
    return tuple(dict.fromkeys((*features, *container.devices)))


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
        status = _status(path)
        target = source_of(places, path)
        target.parent.mkdir(parents=True, exist_ok=True)
        if places.ordinary or path in _AS_IT_IS:
            target.touch()
            mounts.bind(Path(path), target)
            continue
        os.mknod(target, status.st_mode, status.st_rdev)
        target.chmod(0o666 if path in _FOR_ALL else stat.S_IMODE(status.st_mode))
        os.chown(target, container.first_id, container.first_id)


def source_of(places: Places, path: str) -> Path:
    """Give where the node for a path lies in the room."""
    return places.devices / path.removeprefix("/dev/")


def rules(container: Container) -> Iterator[dict[str, object]]:
    """Allow them in the container's cgroup (OCI runtime specification, "Allowed Device List")."""
    for path in wanted(container):
        status = _status(path)
        yield {
            "allow": True,
            "type": "b" if stat.S_ISBLK(status.st_mode) else "c",
            "major": os.major(status.st_rdev),
            "minor": os.minor(status.st_rdev),
            "access": "rwm",
        }


def _status(path: str) -> os.stat_result:
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
