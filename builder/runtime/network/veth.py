"""Cables and bridges: the commands and settings that make them."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from builder.host.network import link
from builder.model.network import Lease, Segment
from builder.runtime.network.addresses import mac_of

_SYSCTL = Path("/proc/sys/net")


# What is sent to a group that bridges do not forward meets no rule before its sender is learned,
# and would move a neighbor's address to the cable of whoever forges it. Groups are not learned
# either: a guest that asks for members would have all that is sent to groups.
_DEAF = "no_linklocal_learn 1 mcast_snooping 0"
"""How a bridge takes no word of a guest (ip-link(8))."""


def prepare_host(segments: Iterable[Segment]) -> None:
    """Have the kernel route between interfaces, which stays; needed before bridges are raised."""
    segments = tuple(segments)
    if any(one.subnet and not one.internal for one in segments):
        link.set_sysctl("ipv4/ip_forward", "1")
    if any(one.subnet6 and not one.internal for one in segments):
        _forward_ipv6()


def to_raise(segment: Segment) -> Iterator[str]:
    """Give the commands that make a bridge."""
    # A fixed hardware address, or it would have that of its lowest cable and change while in use.
    mac = mac_of(segment.bridge)
    name = segment.bridge
    yield f"link add name {name} address {mac} mtu {segment.mtu} type bridge {_DEAF}"
    yield f'link set dev {name} alias "oven network {segment.name}"'
    if segment.gateway and segment.subnet:
        bits = segment.subnet.rpartition("/")[2]
        yield f"addr add {segment.gateway}/{bits} brd + dev {name}"
    if segment.gateway6 and segment.subnet6:
        bits = segment.subnet6.rpartition("/")[2]
        # Nobody else can have it, and the name server is to listen on it at once.
        yield f"addr add {segment.gateway6}/{bits} dev {name} nodad"
    yield f"link set dev {name} up"
    if segment.gateway6:
        # What the host asks of published ports by ::1 is answered over the bridge, and the kernel
        # takes a packet for ::1 only where there is a route for it. One that is for ::1 as it
        # comes, before its address is changed back, is dropped all the same (RFC 4291, 2.5.3).
        yield f"route append local ::1 dev {name} table local metric 4096"


def to_deafen(segment: Segment) -> str:
    """Give the command that makes a bridge, which may be of an older Oven, deaf to guests."""
    return f"link set dev {segment.bridge} type bridge {_DEAF}"


def set_bridge_sysctls(segments: Iterable[Segment]) -> None:
    """Set what the kernel forgets with a bridge: whom it believes, and what it lets through."""
    for segment in segments:
        ipv6, ipv4 = f"ipv6/conf/{segment.bridge}", f"ipv4/conf/{segment.bridge}"
        if not segment.subnet6:
            link.set_sysctl(f"{ipv6}/disable_ipv6", "1")
        # Guests are no routers of this host, whatever they say.
        for setting in ("accept_ra", "autoconf", "accept_redirects"):
            link.set_sysctl(f"{ipv6}/{setting}", "0")
        link.set_sysctl(f"{ipv4}/accept_redirects", "0")
        # Lets the host's 127.0.0.1 be the sender of what it asks of published ports.
        link.set_sysctl(f"{ipv4}/route_localnet", "1")


def to_lay(lease: Lease, segment: Segment) -> str:
    """Give the command that makes a cable, its other end in the container from the beginning."""
    inner = f"name {lease.device} address {lease.mac} mtu {segment.mtu} netns {lease.pid}"
    return f"link add name {lease.interface} mtu {segment.mtu} type veth peer {inner}"


def plug_in(lease: Lease, segment: Segment) -> Iterator[str]:
    """Give the commands that connect the host's end of a cable to its bridge."""
    yield f"link set dev {lease.interface} master {segment.bridge}"
    # With net.bridge.bridge-nf-call-iptables, a guest that asks for its own published port is
    # turned back on the bridge itself, which by default never returns a packet to its sender.
    yield f"link set dev {lease.interface} type bridge_slave hairpin on"
    # The host itself has no business on a cable: it answers no questions of ARP there.
    yield f"link set dev {lease.interface} arp off up"
    # Or the host would talk to the last owner of the address until ARP has given up on it.
    for address in lease.addresses:
        yield f"neigh replace {address} lladdr {lease.mac} dev {segment.bridge} nud stale"


def inside(leases: Iterable[Lease], segments: Mapping[str, Segment]) -> Iterator[str]:
    """Give the commands that a container's own end of its cables needs.

    The first network with a way out has the default routes.
    """
    yield "link set dev lo up"
    routed: set[int] = set()
    for lease in leases:
        segment = segments[lease.segment]
        device = lease.device
        if lease.address and segment.subnet:
            bits = segment.subnet.rpartition("/")[2]
            yield f"addr add {lease.address}/{bits} brd + dev {device}"
        if lease.address6 and segment.subnet6:
            bits = segment.subnet6.rpartition("/")[2]
            # No other guest can have it, so that nobody needs to be asked.
            yield f"addr add {lease.address6}/{bits} dev {device} nodad"
        yield f"link set dev {device} up"
        for family, own, gateway in (
            (4, lease.address, segment.gateway),
            (6, lease.address6, segment.gateway6),
        ):
            if own and gateway and not segment.internal and family not in routed:
                routed.add(family)
                yield f"route add default via {gateway} dev {device}"


def _forward_ipv6() -> None:
    """Route IPv6 without losing the routes that this host itself learns from advertisements.

    A host that routes ignores them unless `accept_ra` is 2 (kernel: ip-sysctl.rst), and would be
    off the network when the next one did not come.
    """
    path = _SYSCTL / "ipv6/conf"
    if (path / "all/forwarding").read_text(encoding="ascii").strip() != "0":
        return
    for setting in path.glob("*/accept_ra"):
        if setting.parent.name != "all" and setting.read_text(encoding="ascii").strip() == "1":
            link.set_sysctl(f"ipv6/conf/{setting.parent.name}/accept_ra", "2")
    link.set_sysctl("ipv6/conf/all/forwarding", "1")
