"""Containers: what is kept of each one on disk, and where."""

import os
import re
import zlib
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from builder.host.places import Places
from builder.model.errors import NotFoundError, RecipeError
from builder.model.network import PortMapping
from builder.model.value import Digest, Value, canonical, hex_of

IDS = 65536
"""How many user and group ids each container has for itself."""

Init = Literal["systemd", "openrc", "sysvinit", "other"]
Status = Literal["running", "starting", "stopped"]


class Limits(Value, frozen=True, kw_only=True):
    """What a container may use at most; None means no limit."""

    memory: Annotated[int, msgspec.Meta(ge=1 << 20)] | None = None
    """Bytes."""
    pids: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """Processes and threads."""
    cpus: Annotated[float, msgspec.Meta(ge=0.01)] | None = None
    """Processors, such as 1.5."""


class Container(Value, frozen=True, kw_only=True):
    """An instance of a template; it is kept as `container.json` in the container's folder."""

    version: Literal[1] = 1
    name: str
    template: Digest
    """The identity of the template, whose tree is the lower layer."""
    template_name: str
    uuid: str
    """32 hex digits, which become the machine-id at the first boot."""
    first_id: int
    """The id on the host that is root inside; the next 65535 belong to the container too."""
    created: int
    """Seconds since 1970."""
    hostname: str
    init: Init = "systemd"
    limits: Limits = Limits()
    network: str | None = None
    """The name of the network that it is on; None means only the loopback interface."""
    address: str | None = None
    """The IPv4 address that was asked for; None lets the network choose."""
    ports: tuple[PortMapping, ...] = ()
    remove: bool = False
    """Whether it is destroyed once it is stopped."""
    rootfs: str = ""
    """The tree to run, where it is not that of a local template: a probe runs one of the store."""


NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
"""A container's name is a DNS label, since it becomes the host name."""


def check_name(name: str) -> str:
    """Refuse what cannot name a container; such a name is safe as a file name everywhere."""
    if not NAME.fullmatch(name):
        raise RecipeError(
            f"`{name}` cannot name a container",
            hint="use lower-case letters, digits and `-`, at most 63, beginning with a letter",
        )
    return name


def folder_of(places: Places, name: str) -> Path:
    """Give the folder where all of a container is kept."""
    return places.data / "containers" / name


def volatile_of(places: Places, name: str) -> Path:
    """Give the folder that exists only while a container runs."""
    return places.runtime / "containers" / name


def cgroup_of(places: Places, name: str) -> str:
    """Give the name of a container's cgroup, which all homes of Oven on this host share."""
    home = zlib.crc32(os.fsencode(places.data))
    return f"{name}.{home:08x}"


def rootfs_of(places: Places, container: Container) -> Path:
    """Give the tree that is the container's lower layer."""
    if container.rootfs:
        return Path(container.rootfs)
    return places.data / "templates" / hex_of(container.template) / "rootfs"


def load(places: Places, name: str) -> Container:
    """Read a container; NotFoundError when there is none of that name."""
    path = folder_of(places, name) / "container.json"
    try:
        return msgspec.json.decode(path.read_bytes(), type=Container)
    except (FileNotFoundError, NotADirectoryError):
        raise NotFoundError(
            f"there is no container `{name}`", hint="`oven list` shows those that exist"
        ) from None
    except msgspec.MsgspecError as error:
        raise NotFoundError(f"the record of container `{name}` is damaged: {error}", at=path) from (
            error
        )


def encode(container: Container) -> bytes:
    """Give the bytes of `container.json`."""
    return canonical(container)
