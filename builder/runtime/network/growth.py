"""What a new member of networks gets: its interfaces, and networks that it is the first on."""

from collections.abc import Iterable, Sequence

import msgspec

from builder.host.network import link
from builder.host.pids import boot_id, start_time
from builder.model.errors import ConflictError, HostError
from builder.model.host_access import HostAccess
from builder.model.network import Lease, Network, NetworkState, PortMapping, Segment
from builder.runtime.network import addresses
from builder.runtime.network.dns import is_possible

FIRST = "eth0"
"""The interface inside to which published ports lead."""

_LEAST_MTU = 1280
"""The kernel has no IPv6 on a link with less (RFC 8200, 5)."""


class NetworkMember(msgspec.Struct, frozen=True):
    """A container that is to be on networks, by a process in its network namespace."""

    key: str
    """Unique on this host."""
    name: str
    """For people, and for other containers to find it by."""
    pid: int
    ports: tuple[PortMapping, ...] = ()
    address_key: str = ""
    """What its addresses are made from, where that is not `key`."""


class BridgeSpec(msgspec.Struct, frozen=True):
    """An interface that a container is to have."""

    key: str
    """The network's, unique on this host."""
    network: Network
    address: str | None = None
    address6: str | None = None
    rate: int | None = None
    host: HostAccess | None = None


def grown(
    state: NetworkState, member: NetworkMember, wishes: Sequence[BridgeSpec]
) -> tuple[NetworkState, tuple[Lease, ...]]:
    """Add a member, and the networks that it is the first on."""
    started = start_time(member.pid)
    if not started:
        raise ConflictError(f"container `{member.name}` has ended before it got its network")
    segments = list(state.segments)
    leases: list[Lease] = []
    for index, wish in enumerate(wishes):
        segment = state.segment(wish.key)
        if segment is None:
            segment = begin(wish, segments)
            segments.append(segment)
        there = (*state.leases, *leases)
        key = _numbered(member.key, index)
        seed = _numbered(member.address_key or member.key, index)
        given = _addresses(segment, wish, there, seed)
        leases.append(
            Lease(
                key=member.key,
                name=member.name,
                segment=segment.key,
                device=f"eth{index}",
                address=given[0],
                address6=given[1],
                mac=_mac(seed, there),
                interface=addresses.cable_of(key),
                rate=wish.rate,
                host=wish.host,
                ports=member.ports if index == 0 else (),
                pid=member.pid,
                started=started,
                boot=boot_id(),
            )
        )
    return NetworkState(segments=tuple(segments), leases=(*state.leases, *leases)), tuple(leases)


def _numbered(key: str, index: int) -> str:
    return key if index == 0 else f"{key} {index}"


def _mac(seed: str, leases: Iterable[Lease]) -> str:
    """Give a hardware address that nobody has: one that was renamed keeps that of its old name."""
    taken = {lease.mac for lease in leases}
    while (mac := addresses.mac_of(seed)) in taken:
        seed += "'"
    return mac


def begin(wish: BridgeSpec, others: Sequence[Segment] = ()) -> Segment:
    """Say how a network that has no member will be; the others are there already."""
    network = wish.network
    subnet6 = network.subnet6
    if subnet6 and not link.has_ipv6():
        if not network.chosen6:
            raise HostError(
                f"the network `{network.name}` needs IPv6, which this host has switched off",
                hint="`sysctl net.ipv6.conf.all.disable_ipv6` must be 0",
            )
        subnet6 = None
    if not network.subnet and not subnet6:
        raise HostError(f"the network `{network.name}` needs IPv6, which this host lacks")
    for other in others:
        for subnet in filter(None, (network.subnet, subnet6)):
            if addresses.overlaps(subnet, filter(None, (other.subnet, other.subnet6))):
                raise ConflictError(
                    f"the networks `{network.name}` and `{other.name}` both have `{subnet}`",
                    hint="make one of them with another `--subnet`",
                )
    segment = Segment(
        key=wish.key,
        name=network.name,
        bridge=addresses.bridge_of(wish.key),
        subnet=network.subnet,
        subnet6=subnet6,
        gateway=addresses.gateway_of(network.subnet),
        gateway6=addresses.gateway_of(subnet6),
        nat=network.nat,
        internal=network.internal,
        host=network.host,
        mtu=max(link.outer_mtu(), _LEAST_MTU),
    )
    return msgspec.structs.replace(segment, named=is_possible(segment) is None)


def _addresses(
    segment: Segment, wish: BridgeSpec, leases: Iterable[Lease], key: str
) -> tuple[str | None, str | None]:
    """Choose the addresses of an interface, IPv4 and IPv6."""
    taken = {one for lease in leases for one in lease.addresses}
    found: list[str | None] = []
    for subnet, asked, version in (
        (segment.subnet, wish.address, 4),
        (segment.subnet6, wish.address6, 6),
    ):
        if asked and not subnet:
            raise HostError(
                f"the network `{segment.name}` has no IPv{version} here,"
                f" so there is no address {asked}"
            )
        found.append(addresses.address_in(subnet, taken, key, asked) if subnet else None)
    return found[0], found[1]
