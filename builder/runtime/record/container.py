"""Containers: what is kept of each one on disk, and where."""

import contextlib
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from builder.host.places import Places
from builder.host.trees import durable
from builder.model.errors import NotFoundError, RecipeError
from builder.model.feature import Feature
from builder.model.host_access import HostAccess
from builder.model.network import PortMapping
from builder.model.numbers import LARGEST
from builder.model.value import Digest, Value, canonical, hex_of
from builder.model.visible import visible
from builder.runtime.record import layout

IDS = 65536
"""How many user and group ids a container has for itself, unless it was given more."""
MOST_IDS = 16 * IDS

Init = Literal["systemd", "openrc", "sysvinit", "busybox", "runit", "finit", "other"]
Status = Literal["running", "starting", "stopping", "stopped", "frozen", "restarting"]


Restart = Literal["no", "on-failure", "always"]
"""Whether a container that ended by itself is started again; a reboot from inside always is.

`on-failure` leaves one alone that was shut down from inside, `always` does not.
"""

Rate = Annotated[int, msgspec.Meta(ge=1, le=LARGEST)]


class Limits(Value, frozen=True, kw_only=True):
    """What a container may use at most; None means no limit."""

    memory: Annotated[int, msgspec.Meta(ge=1 << 20, le=LARGEST)] | None = None
    """Bytes."""
    swap: Annotated[int, msgspec.Meta(ge=0, le=LARGEST)] | None = None
    """Bytes of swap beyond `memory`; 0 is none at all."""
    pids: Annotated[int, msgspec.Meta(ge=1, le=LARGEST)] | None = None
    """Processes and threads; None is the usual ceiling (`usual_processes`)."""
    cpus: Annotated[float, msgspec.Meta(ge=0.01)] | None = None
    """Processors, such as 1.5."""
    weight: Annotated[int, msgspec.Meta(ge=1, le=10000)] | None = None
    """Share of processors where there are too few; 100 is the usual one (cgroup-v2.rst)."""
    read_bytes: Rate | None = None
    """Bytes a second that are read from disks."""
    write_bytes: Rate | None = None
    read_operations: Rate | None = None
    """Operations a second."""
    write_operations: Rate | None = None
    shm: Annotated[int, msgspec.Meta(ge=1 << 20, le=LARGEST)] | None = None
    """Bytes of `/dev/shm`; None is a share of the memory that it has, as for the two below."""
    run: Annotated[int, msgspec.Meta(ge=1 << 20, le=LARGEST)] | None = None
    """Bytes of `/run`."""
    tmp: Annotated[int, msgspec.Meta(ge=1 << 20, le=LARGEST)] | None = None
    """Bytes of `/tmp`, where that is in memory."""
    disk: Annotated[int, msgspec.Meta(ge=16 << 20, le=LARGEST)] | None = None
    """Bytes of what it may change and add; the template's files do not count."""
    inodes: Annotated[int, msgspec.Meta(ge=1024, le=LARGEST)] | None = None
    """Files and folders of the same."""


class Interface(Value, frozen=True, kw_only=True):
    """A network interface of a container: `eth0` is the first, `eth1` the next."""

    network: str
    address: str | None = None
    """The IPv4 address that was asked for; None lets the network choose."""
    address6: str | None = None
    """The same for IPv6."""
    rate: Rate | None = None
    """Bytes a second at most, each way."""
    host: HostAccess | None = None
    """What of the host is reached there; None leaves it to the network."""


class Bind(Value, frozen=True, kw_only=True):
    """A folder or file of the host, or a volume, that is seen inside."""

    source: str
    """An absolute path of the host; without a `/`, the name of a volume."""
    target: str
    """An absolute path inside."""
    read_only: bool = False


class Autostart(Value, frozen=True, kw_only=True):
    """When a container is started with the host."""

    order: int = 0
    """Lower ones come first; they are stopped in the opposite order."""
    delay: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    """Seconds to wait after it before the next one is started."""


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
    """The id on the host that is root inside; the `ids` from there on are the container's."""
    ids: Annotated[int, msgspec.Meta(ge=IDS, le=MOST_IDS, multiple_of=IDS)] = IDS
    created: int
    """Seconds since 1970."""
    hostname: str
    init: Init = "systemd"
    limits: Limits = Limits()
    interfaces: tuple[Interface, ...] = ()
    """Its networks; without any it has only the loopback interface."""
    ports: tuple[PortMapping, ...] = ()
    """Published on the first of them."""
    binds: tuple[Bind, ...] = ()
    restart: Restart = "no"
    autostart: Autostart | None = None
    protected: bool = False
    """Whether `destroy` refuses it."""
    layers: tuple[str, ...] = ()
    """Folders of `layers/` that lie between the template and what it changes now, the top first."""
    features: tuple[Feature, ...] = ()
    devices: tuple[str, ...] = ()
    """Devices of the host, by the path that they have on both sides."""
    lxcfs: bool = True
    """Whether `/proc` tells its own memory and processors, where lxcfs runs."""
    remove: bool = False
    """Whether it is destroyed once it is stopped."""
    address_key: str = ""
    """What its hardware addresses are made from, and the addresses that its networks choose for it;
    a rename keeps it. By default that is its folder."""
    rootfs: str = ""
    """The tree to run, where it is not that of a local template: a probe runs one of the store."""


def new_container(name: str, template: Digest, template_name: str) -> Container:
    """Begin a container's record; `create` chooses its ids."""
    return Container(
        name=name,
        template=template,
        template_name=template_name,
        uuid=os.urandom(16).hex(),
        first_id=0,
        created=int(time.time()),
        hostname=name.replace(".", "-"),
    )


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


HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,62}[A-Za-z0-9])?")
"""A host name, with a domain or without (hostname(7)); it becomes a line of `/etc/hosts`."""


def check_hostname(name: str) -> str:
    """Refuse what no container can be called inside."""
    if not HOST_NAME.fullmatch(name):
        raise RecipeError(
            f"`{visible(name)}` is no host name",
            hint="use letters, digits, `-` and dots, at most 64",
        )
    return name


def all_names(places: Places) -> list[str]:
    """List the containers by name; drafts and graves hold a dot and are none."""
    try:
        entries = os.listdir(places.data / "containers")
    except FileNotFoundError:
        return []
    return sorted(entry for entry in entries if "." not in entry)


def load(places: Places, name: str) -> Container:
    """Read a container; NotFoundError when there is none of that name."""
    path = layout.folder_of(places, name) / layout.RECORD
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Container)
    except (FileNotFoundError, NotADirectoryError):
        raise NotFoundError(
            f"there is no container `{name}`", hint="`oven list` shows those that exist"
        ) from None
    except msgspec.MsgspecError as error:
        raise NotFoundError(f"the record of container `{name}` is damaged: {error}", at=path) from (
            error
        )
    # The folder decides: who copied one by hand must not lose the other by what is done to it.
    return found if found.name == name else msgspec.structs.replace(found, name=name)


def readable(places: Places) -> Iterator[Container]:
    """Give all containers by name, but those that are damaged or go away meanwhile."""
    for name in all_names(places):
        with contextlib.suppress(NotFoundError):
            yield load(places, name)


def encode(container: Container) -> bytes:
    """Give the bytes of `container.json`."""
    return canonical(container)


def save(places: Places, container: Container) -> None:
    """Keep another record of a container; the caller holds its lock."""
    with durable.disk_errors(places.data):
        durable.replace(layout.folder_of(places, container.name) / layout.RECORD, encode(container))


def rootfs_of(places: Places, container: Container) -> Path:
    """Give the tree that is the container's lower layer."""
    if container.rootfs:
        return Path(container.rootfs)
    return places.data / "templates" / hex_of(container.template) / "rootfs"
