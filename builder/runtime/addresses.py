"""Addresses: which network containers are in, and which address in it is whose."""

import hashlib
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv4Network

from builder.model.errors import HostError
from builder.runtime.firewall import CABLES

CANDIDATES = tuple(f"10.{213 + i}.{j}.0/24" for j in range(0, 250, 25) for i in range(40))
"""Where containers are put unless the settings say so: the first that is not in use."""


@dataclass(frozen=True, slots=True)
class Place:
    """An address, how many of its bits are the network's, and the bridge's address there."""

    address: str
    prefix: int
    gateway: str


def cable_of(key: str) -> str:
    """Name the host's end of a container's cable; an interface's name has 15 characters at most."""
    return CABLES + hashlib.sha256(key.encode()).hexdigest()[:10]


def mac_of(key: str) -> str:
    """Give the hardware address of a container: locally administered, the same at every start."""
    digits = hashlib.sha256(b"mac " + key.encode()).hexdigest()
    return ":".join(("02", *(digits[i : i + 2] for i in range(0, 10, 2))))


def free_subnet(taken: Iterable[str]) -> str:
    """Pick a network that overlaps none of these networks and addresses."""
    networks = [IPv4Network(network, strict=False) for network in taken]
    for candidate in CANDIDATES:
        if not any(IPv4Network(candidate).overlaps(network) for network in networks):
            return candidate
    raise HostError(
        "every network that containers could have collides with a route of this host",
        hint='name a free one in the settings: `[network] subnet = "172.30.0.0/24"`',
    )


def place_in(subnet: str, taken: AbstractSet[str], key: str, preferred: str | None) -> Place:
    """Find a place: the preferred address, else one that depends on the key.

    Going by the key, not by what is lowest, a container mostly gets the same one again, and an
    address is not given away right after its last owner left, when others may still talk to that.
    """
    network = IPv4Network(subnet)
    usable = network.num_addresses - 3  # not the network's, the bridge's and the broadcast one
    start = int(hashlib.sha256(key.encode()).hexdigest()[:8], 16) % usable
    if preferred and preferred not in taken and _suits(network, preferred):
        return Place(preferred, network.prefixlen, str(network[1]))
    for i in range(usable):
        address = str(network[2 + (start + i) % usable])
        if address not in taken:
            return Place(address, network.prefixlen, str(network[1]))
    raise HostError(
        f"all {usable} addresses of `{network}` are in use",
        hint='stop all containers and set a larger one: `[network] subnet = "10.86.0.0/16"`',
    )


def _suits(network: IPv4Network, address: str) -> bool:
    try:
        wanted = IPv4Address(address)
    except AddressValueError:
        return False
    return wanted in network and wanted not in {network[0], network[1], network[-1]}
