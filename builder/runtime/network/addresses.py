"""Addresses: where networks lie, which address in one is whose, and how interfaces are called."""

import os
import zlib
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from builder.model.errors import ConflictError, HostError, RecipeError

# Every name is made from a key, so that what a killed command leaves is known by its name. The
# names of interfaces have 15 characters at most (IFNAMSIZ), and all begin with `oven`, so that
# other firewalls can let all of them pass by one rule.

CABLES = "oven-"
"""What the names of the host's ends of all cables begin with."""
BRIDGES = "ovenb-"
METERS = "oveni-"
"""The `ifb` interfaces that hold back what a container sends."""

OURS = (CABLES, BRIDGES, METERS)

CANDIDATES = tuple(f"10.{213 + i}.{j}.0/24" for j in range(0, 250, 25) for i in range(40))
"""Where containers are put unless somebody says so: the first that is not in use."""

_BY_HAND = 4
"""The first of so many parts of an IPv4 network is left to addresses that somebody chose."""


def cable_of(key: str) -> str:
    """Name the host's end of a cable."""
    return CABLES + _digits(key, 10)


def meter_of(cable: str) -> str:
    """Name the interface that holds back what comes from a cable."""
    return METERS + _digits(cable, 9)


def bridge_of(key: str) -> str:
    """Name the bridge of a network."""
    return BRIDGES + _digits(key, 9)


def mac_of(key: str) -> str:
    """Give a hardware address: locally administered, the same at every start."""
    digits = _digits("mac " + key, 10)
    return ":".join(("02", *(digits[i : i + 2] for i in range(0, 10, 2))))


def link_local_of(mac: str) -> str:
    """Give the address that the kernel makes for an interface by itself (RFC 4291, appendix A)."""
    octets = [int(one, 16) for one in mac.split(":")]
    words = bytes((octets[0] ^ 2, *octets[1:3], 0xFF, 0xFE, *octets[3:]))
    return str(IPv6Address(b"\xfe\x80" + bytes(6) + words))


def free_subnet(taken: Iterable[str]) -> str:
    """Pick an IPv4 network that overlaps none of these networks and addresses."""
    networks = [IPv4Network(network, strict=False) for network in taken]
    for candidate in CANDIDATES:
        if not any(IPv4Network(candidate).overlaps(network) for network in networks):
            return candidate
    raise HostError(
        "every network that containers could have collides with a route of this host",
        hint='name a free one in the settings: `[network] subnet = "172.30.0.0/24"`',
    )


def new_subnet6() -> str:
    """Make an IPv6 network that nobody else has: a unique local one (RFC 4193, 3.2.2)."""
    return str(IPv6Network((b"\xfd" + os.urandom(5) + bytes(10), 64)))


def overlaps(one: str, others: Iterable[str]) -> str | None:
    """Give the first of these networks that shares addresses with one of the same version."""
    network = ip_network(one, strict=False)
    for other in others:
        that = ip_network(other, strict=False)
        if that.version == network.version and network.overlaps(that):
            return other
    return None


def gateway_of(subnet: str | None) -> str | None:
    """Give the bridge's own address in a network: the first one."""
    return str(ip_network(subnet)[1]) if subnet else None


def address_in(subnet: str, taken: AbstractSet[str], key: str, asked: str | None) -> str:
    """Find an address: the one asked for, else one that depends on the key.

    Going by the key, not by what is lowest, a container mostly gets the same one again, and an
    address is not given away right after its last owner left, when others may still talk to that.
    Raises ConflictError when the one that was asked for is in use.
    """
    if asked:
        check_address(subnet, asked)
        if asked in taken:
            raise ConflictError(
                f"the address {asked} is in use", hint="`oven network show` tells by whom"
            )
        return asked
    network = ip_network(subnet)
    if isinstance(network, IPv6Network):
        return _address6_in(network, taken, key)
    usable = network.num_addresses - 3  # not the network's, the bridge's and the broadcast one
    by_hand = usable // _BY_HAND
    start = by_hand + int(_digits(key, 8), 16) % (usable - by_hand)
    tried = (*range(start, usable), *range(by_hand, start), *range(by_hand))
    for offset in tried:
        address = str(network[2 + offset])
        if address not in taken:
            return address
    raise HostError(
        f"all {usable} addresses of `{network}` are in use",
        hint="make a larger network: `oven network create NAME --subnet 10.86.0.0/16`, or in the"
        ' settings `[network] subnet = "10.86.0.0/16"`',
    )


def check_address(subnet: str, address: str) -> None:
    """Refuse an address that no container can have in a network; raises RecipeError."""
    network = ip_network(subnet)
    try:
        wanted = ip_address(address)
    except ValueError:
        raise RecipeError(f"`{address}` is no address") from None
    reserved = {network[0], network[1]}
    if isinstance(network, IPv4Network):
        reserved.add(network[-1])
    if wanted.version != network.version or wanted not in network or wanted in reserved:
        raise RecipeError(
            f"a container cannot have the address {address} in the network {network}",
            hint=f"take one from {network[2]} on" if wanted in network else None,
        )


def _address6_in(network: IPv6Network, taken: AbstractSet[str], key: str) -> str:
    """Give an address that nobody would choose by hand: at least 2^31 behind the first."""
    room = min(network.num_addresses, 1 << 32)
    offset = int(_digits(key, 8), 16) % (room // 2) + room // 2
    for step in range(room // 2):
        address = str(network[room // 2 + (offset + step) % (room // 2)])
        if address not in taken:
            return address
    raise HostError(f"all addresses of `{network}` are in use")


def _digits(key: str, count: int) -> str:
    """Give hex digits, 16 at most, that depend on a key; nobody gains by finding another such key.

    Two checksums of what an administrator chose do, and OpenSSL need not be loaded for it.
    """
    data = key.encode()
    return f"{zlib.crc32(data):08x}{zlib.crc32(data[::-1]):08x}"[:count]
