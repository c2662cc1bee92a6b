"""Networks as values: the ports that are published, and what a container is given."""

import re
from typing import Annotated, Literal

import msgspec

from builder.model.errors import RecipeError
from builder.model.value import Value

Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]


class PortMapping(Value, frozen=True, kw_only=True):
    """A port of the host that leads to a port of a container."""

    host: Port
    port: Port
    """The container's."""
    protocol: Literal["tcp", "udp"] = "tcp"
    address: str = ""
    """The IPv4 address of the host that it is published on; empty means every one."""

    def __str__(self) -> str:
        """Write it as `-p` takes it."""
        address = f"{self.address}:" if self.address else ""
        suffix = "" if self.protocol == "tcp" else f"/{self.protocol}"
        return f"{address}{self.host}:{self.port}{suffix}"

    def collides(self, other: "PortMapping") -> bool:
        """Tell whether both claim the same port of the host."""
        same_address = not self.address or not other.address or self.address == other.address
        return same_address and (self.host, self.protocol) == (other.host, other.protocol)


class Lease(Value, frozen=True, kw_only=True):
    """What a container has on the network while it runs."""

    key: str
    """Names the container among all of this host, whichever OVEN_HOME it is in."""
    name: str
    """What a person calls the container."""
    address: str
    prefix: int
    gateway: str
    mac: str
    interface: str
    """The host's end of the cable."""
    ports: tuple[PortMapping, ...] = ()
    pid: int
    """A process in the network namespace; when it is gone, so is the container."""
    started: int
    """When that process started, since pids are used again."""
    boot: str


class NetworkState(Value, frozen=True, kw_only=True):
    """All that is in use on the bridge now."""

    version: Literal[1] = 1
    subnet: str
    mtu: int = 1500
    leases: tuple[Lease, ...] = ()


_OCTET = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"
_MAPPING = re.compile(
    rf"(?:(?P<address>{_OCTET}(?:\.{_OCTET}){{3}}):)?(?P<host>\d{{1,5}})(?::(?P<port>\d{{1,5}}))?"
    r"(?:/(?P<protocol>tcp|udp))?",
    re.ASCII,
)


def parse_port(text: str) -> PortMapping:
    """Read what `-p` was given; raises RecipeError."""
    found = _MAPPING.fullmatch(text)
    numbers = [int(found["host"]), int(found["port"] or found["host"])] if found else [0]
    if found is None or not all(1 <= number <= 65535 for number in numbers):
        raise RecipeError(
            f"`{text}` does not publish a port",
            hint="write `8080:80`, `8080:80/udp`, `127.0.0.1:8080:80`, or `80` for the same port"
            " on both sides; ports go from 1 to 65535, addresses are IPv4",
        )
    address = found["address"] or ""
    return PortMapping(
        host=numbers[0],
        port=numbers[1],
        protocol="udp" if found["protocol"] == "udp" else "tcp",
        address="" if address == "0.0.0.0" else address,
    )
