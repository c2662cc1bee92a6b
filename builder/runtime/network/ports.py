"""Published ports: whether one can be had, and who has it already."""

from collections.abc import Iterator

import msgspec

from builder.host.network import link, ports
from builder.model.errors import ConflictError, HostError, RecipeError
from builder.model.network import Lease, NetworkState, PortMapping


def check_ports(lease: Lease, state: NetworkState) -> None:
    """Raise ConflictError when somebody has a port already that a new member publishes."""
    segment = state.segment(lease.segment)
    if segment is not None and segment.internal:
        raise RecipeError(
            f"container `{lease.name}` cannot publish ports: `{segment.name}` is internal",
            hint=f"have a network with a way out first: `--network oven --network {segment.name}`",
        )
    taken = [
        (mapping, other)
        for other in state.leases
        if other.key != lease.key
        for mapping in other.ports
    ]
    for number, mapping in enumerate(lease.ports):
        if any(mapping.collides(other) for other in lease.ports[:number]):
            raise RecipeError(
                f"port {mapping.host} is published twice for container `{lease.name}`"
            )
        for other, holder in taken:
            if mapping.collides(other):
                raise _port_taken(mapping, f"container `{holder.name}`")
        for address in _listened(mapping, lease):
            if not ports.is_free(mapping.protocol, address, mapping.host):
                raise _port_taken(mapping, ports.holder_of(mapping.protocol, mapping.host))


def _listened(mapping: PortMapping, lease: Lease) -> Iterator[str]:
    """Give the addresses of the host that a port is claimed on."""
    own = {4: lease.address, 6: lease.address6}
    families = [family for family in sorted(mapping.families) if own[family]]
    if not families:
        version = "IPv6" if 6 in mapping.families else "IPv4"
        raise HostError(
            f"port {mapping.host} of `{mapping.address}` cannot lead to container `{lease.name}`,"
            f" which has no {version} address"
        )
    if mapping.address == "::1" and link.filters_bridged_ipv6():
        raise HostError(
            "this host cannot reach containers by `::1`: its rules see what passes bridges",
            hint="`sysctl net.bridge.bridge-nf-call-ip6tables=0`, or publish on `127.0.0.1`",
        )
    for family in families:
        yield mapping.address or {4: "0.0.0.0", 6: "::"}[family]  # only looked at


def _port_taken(mapping: PortMapping, holder: str) -> ConflictError:
    return ConflictError(
        f"port {mapping.host}/{mapping.protocol} of this host is in use by {holder}",
        hint=f"publish another one, such as `-p {_another(mapping)}`",
    )


def _another(mapping: PortMapping) -> PortMapping:
    number = mapping.host + 10000 if mapping.host < 50000 else mapping.host - 10000
    return msgspec.structs.replace(mapping, host=number)
