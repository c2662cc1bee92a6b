"""Networks as values: how one is defined, what is published, and what a container is given."""

import re
from typing import Annotated, Literal

import msgspec

from builder.model.errors import RecipeError
from builder.model.host_access import HostAccess
from builder.model.value import Value

Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]

DEFAULT = "oven"
"""The network that is there by itself, and that containers are on unless they say otherwise."""

NONE = "none"
"""Says in place of a network that there is none."""

_RANGE = 1024
"""Ports at most that one `-p` publishes."""


class PortMapping(Value, frozen=True, kw_only=True):
    """A port of the host that leads to a port of a container."""

    host: Port
    port: Port
    """The container's."""
    protocol: Literal["tcp", "udp"] = "tcp"
    address: str = ""
    """The address of the host that it is published on; empty means every one.

    `0.0.0.0` is every IPv4 address and `::` every IPv6 one.
    """

    def __str__(self) -> str:
        """Write it as `-p` takes it."""
        address = f"[{self.address}]:" if ":" in self.address else f"{self.address}:"
        suffix = "" if self.protocol == "tcp" else f"/{self.protocol}"
        return f"{address if self.address else ''}{self.host}:{self.port}{suffix}"

    @property
    def families(self) -> frozenset[int]:
        """Tell over which versions of IP it is reached: 4, 6 or both."""
        if not self.address:
            return frozenset({4, 6})
        return frozenset({6 if ":" in self.address else 4})

    @property
    def everywhere(self) -> bool:
        """Tell whether it is published on all addresses of its families."""
        return self.address in {"", "0.0.0.0", "::"}  # nothing is bound here

    def collides(self, other: "PortMapping") -> bool:
        """Tell whether both claim the same port of the host."""
        same = self.everywhere or other.everywhere or self.address == other.address
        claims = (self.host, self.protocol) == (other.host, other.protocol)
        return claims and same and bool(self.families & other.families)


class Network(Value, frozen=True, kw_only=True):
    """A network as it was asked for; kept as `networks/NAME.json`."""

    version: Literal[1] = 1
    name: str
    subnet: str | None = None
    """The IPv4 network, such as `10.213.0.0/24`; None for none."""
    subnet6: str | None = None
    """The IPv6 network, such as `fd12:3456:789a::/64`; None for none."""
    chosen: bool = False
    """Whether Oven chose `subnet`, and may choose again when the host needs that itself."""
    chosen6: bool = False
    """Whether Oven chose `subnet6`; a host without IPv6 goes without, then."""
    nat: bool = True
    """Whether the outside sees the host's address instead of the container's.

    Without, the outside can reach every port of a container, if it has a route.
    """
    internal: bool = False
    """Whether its members reach only each other."""
    host: HostAccess = "none"
    """What of this host its members reach, unless their own records say otherwise."""
    dns: tuple[str, ...] = ()
    """Addresses of the name servers that its members ask; none for its own, on the bridge."""


class Segment(Value, frozen=True, kw_only=True):
    """A network that has members now: its bridge on this host."""

    key: str
    """Names the network among those of all OVEN_HOMEs."""
    name: str
    bridge: str
    subnet: str | None = None
    subnet6: str | None = None
    gateway: str | None = None
    """The bridge's own address."""
    gateway6: str | None = None
    nat: bool = True
    internal: bool = False
    host: HostAccess = "none"
    named: bool = False
    """Whether a name server of its own knows its members."""
    mtu: int = 1500


class Lease(Value, frozen=True, kw_only=True):
    """What a container has on one network while it runs."""

    key: str
    """Names the container among all of this host, whichever OVEN_HOME it is in."""
    name: str
    """What a person calls the container."""
    segment: str
    """The key of the network."""
    device: str = "eth0"
    """How the interface is called inside."""
    address: str | None = None
    address6: str | None = None
    mac: str
    interface: str
    """The host's end of the cable."""
    rate: int | None = None
    """Bytes a second at most, each way."""
    host: HostAccess | None = None
    """What of the host it reaches; None for what its network says."""
    ports: tuple[PortMapping, ...] = ()
    pid: int
    """A process in the network namespace; when it is gone, so is the container."""
    started: int
    """When that process started, since pids are used again."""
    boot: str

    @property
    def addresses(self) -> tuple[str, ...]:
        """Give what it has, IPv4 first."""
        return tuple(one for one in (self.address, self.address6) if one)


class NetworkState(Value, frozen=True, kw_only=True):
    """All that is in use on the networks of this host now."""

    version: Literal[2] = 2
    segments: tuple[Segment, ...] = ()
    leases: tuple[Lease, ...] = ()

    def segment(self, key: str) -> Segment | None:
        """Find a network that has members."""
        return next((one for one in self.segments if one.key == key), None)


_OCTET = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"
_PORTS = r"\d{1,5}(?:-\d{1,5})?"
_MAPPING = (
    rf"(?:(?P<address>{_OCTET}(?:\.{_OCTET}){{3}}|\[[0-9a-fA-F:.]+\]):)?"
    rf"(?P<host>{_PORTS})(?::(?P<port>{_PORTS}))?(?:/(?P<protocol>tcp|udp))?"
)


def parse_ports(text: str) -> tuple[PortMapping, ...]:
    """Read what `-p` was given, which may be a range of ports; raises RecipeError."""
    found = re.fullmatch(_MAPPING, text, re.ASCII)  # compiled only when somebody publishes a port
    if found is None:
        raise _no_port(text)
    host, port = _range(found["host"]), _range(found["port"] or found["host"])
    if not host or len(host) != len(port) or len(host) > _RANGE:
        raise _no_port(text)
    try:
        address = _address(found["address"] or "")
    except ValueError:
        raise _no_port(text) from None
    return tuple(
        PortMapping(
            host=one,
            port=other,
            protocol="udp" if found["protocol"] == "udp" else "tcp",
            address=address,
        )
        for one, other in zip(host, port, strict=True)
    )


def _range(text: str) -> range:
    """Read `80` or `80-90`; what is no port gives an empty range."""
    first, _, last = text.partition("-")
    low, high = int(first), int(last or first)
    return range(low, high + 1) if 1 <= low <= high <= 65535 else range(0)


def _address(text: str) -> str:
    """Bring an address into the form that the kernel uses."""
    if not text.startswith("["):
        return text
    from ipaddress import IPv6Address  # few publish on one, and it is slow to import

    return str(IPv6Address(text[1:-1]))


def _no_port(text: str) -> RecipeError:
    return RecipeError(
        f"`{text}` does not publish a port",
        hint="write `8080:80`, `8080:80/udp`, `127.0.0.1:8080:80`, `[::1]:8080:80`, a range as"
        " `8000-8009:80-89`, or `80` for the same port on both sides; ports go from 1 to 65535",
    )
