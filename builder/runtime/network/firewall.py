"""The firewall: networks and leases in, the nftables rules that serve and bind them out."""

from collections.abc import Iterable, Iterator

from builder.model.host_access import HostAccess
from builder.model.network import Lease, NetworkState, PortMapping
from builder.model.value import Value
from builder.runtime.network.addresses import CABLES, link_local_of

# Two tables of our own, so that no other program's rules are touched (nft(8)). They are a function
# of the state and are replaced as a whole, in one transaction; only a container that comes to, or
# goes from, intact networks is merely added or taken away, which costs the same with a thousand.
#
# The bridge is the trust boundary. A guest is root over its end of the cable, so frames count
# only with the addresses that were leased to that very cable; what could make other guests or the
# host believe in a wrong neighbor, router or DHCP server is dropped, and so is all but IP.

REMOVAL = """\
table inet oven
delete table inet oven
table bridge oven
delete table bridge oven
"""
"""Removes both tables, also where there are none."""

_SETS = {
    # What depends on the networks: set -> its type.
    "bridges": "ifname",
    "same": "ifname . ifname",
    "internal": "ifname",
    "routed": "ifname",
    "gateways": "ifname . ipv4_addr",
    "gateways6": "ifname . ipv6_addr",
    "own": "ifname . ipv4_addr; flags interval",
    "own6": "ifname . ipv6_addr; flags interval",
    "hidden": "ipv4_addr; flags interval",
    "hidden6": "ipv6_addr; flags interval",
    "nameless": "ifname",
    "addresses": "ipv4_addr",
    "addresses6": "ipv6_addr",
}

_MAPS = {
    # What is published: on all addresses of the host, and on one.
    "ports": "inet_proto . inet_service : ipv4_addr . inet_service",
    "ports_at": "inet_proto . ipv4_addr . inet_service : ipv4_addr . inet_service",
    "ports6": "inet_proto . inet_service : ipv6_addr . inet_service",
    "ports6_at": "inet_proto . ipv6_addr . inet_service : ipv6_addr . inet_service",
}

_SHARES = 8
"""A guest has so large a part of the connections that the host can keep track of."""

_QUESTIONS = "200/second burst 1000 packets"
_TALKS = 4
"""What a guest may ask of a name server: in packets, and in connections at a time."""

_ADMITTED = {
    # What of the host guests reach: all, or ports.
    "trusted": "ipv4_addr",
    "trusted6": "ipv6_addr",
    "admitted": "ipv4_addr . inet_proto . inet_service",
    "admitted6": "ipv6_addr . inet_proto . inet_service",
}

_GUESTS = {
    # What a guest may be the sender of; `targets6` is what it may say that its neighbor is.
    "guests": "type ifname . ether_addr . ipv4_addr",
    "guests6": "type ifname . ether_addr . ipv6_addr",
    "macs6": "type ifname . ether_addr",
    "targets6": "typeof iifname . @th,64,128",
}

_RULES = """
  chain guard {{
    type filter hook prerouting priority raw
    iifname "{cables}*" drop
    iifname != "lo" ip daddr 127.0.0.0/8 drop
  }}
  set flows {{ type ipv4_addr; flags dynamic; size 65535; }}
  set flows6 {{ type ipv6_addr; flags dynamic; size 65535; }}
  chain share {{
    type filter hook prerouting priority mangle
    iifname != @bridges accept
    ct state != new accept
    add @flows {{ ip saddr ct count over {share} }} drop
    add @flows6 {{ ip6 saddr ct count over {share} }} drop
  }}
  chain publish {{
    dnat ip to meta l4proto . ip daddr . th dport map @ports_at
    dnat ip to meta l4proto . th dport map @ports
    ip6 daddr {unreachable} return
    dnat ip6 to meta l4proto . ip6 daddr . th dport map @ports6_at
    dnat ip6 to meta l4proto . th dport map @ports6
  }}
  chain arriving {{
    type nat hook prerouting priority dstnat
    fib daddr type local jump publish
  }}
  chain from_host {{
    type nat hook output priority -100
    fib daddr type local jump publish
  }}
  set questions {{ type ether_addr; flags dynamic,timeout; timeout 1m; size 65535; }}
  set talks {{ type ether_addr; flags dynamic; size 65535; }}
  chain asking {{
    udp dport 53 update @questions {{ ether saddr limit rate over {questions} }} drop
    tcp dport 53 ct state new add @talks {{ ether saddr ct count over {talks} }} drop
  }}
  chain to_host {{
    type filter hook input priority filter
    iifname "lo" accept
    ip daddr @addresses iifname . ip daddr != @gateways drop
    ip6 daddr @addresses6 iifname . ip6 daddr != @gateways6 drop
    iifname != @bridges accept
    jump asking
    ct state established,related accept
    icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert }} accept
    iifname . ip daddr @gateways meta l4proto {{ tcp, udp }} th dport 53 accept
    iifname . ip6 daddr @gateways6 meta l4proto {{ tcp, udp }} th dport 53 accept
    iifname @nameless meta l4proto {{ tcp, udp }} th dport 53 accept
    iifname != @internal icmp type echo-request accept
    iifname != @internal icmpv6 type echo-request accept
    ip saddr @trusted accept
    ip6 saddr @trusted6 accept
    ip saddr . meta l4proto . th dport @admitted accept
    ip6 saddr . meta l4proto . th dport @admitted6 accept
    iifname @internal drop
    meta l4proto tcp reject with tcp reset
    reject with icmpx admin-prohibited
  }}
  chain forward {{
    type filter hook forward priority filter
    iifname != @bridges oifname != @bridges accept
    ct state established,related accept
    iifname . oifname @same accept
    iifname @internal drop
    oifname @internal drop
    oifname @bridges ct status dnat accept
    iifname @bridges oifname @bridges drop
    iifname @bridges accept
    oifname @routed accept
    drop
  }}
  chain leaving {{
    type nat hook postrouting priority srcnat
    oifname @bridges ip saddr 127.0.0.0/8 masquerade
    oifname @bridges ip6 saddr ::1 masquerade
    oifname . ip saddr @own ct status dnat masquerade
    oifname . ip6 saddr @own6 ct status dnat masquerade
    oifname != @bridges ip saddr @hidden masquerade
    oifname != @bridges ip6 saddr @hidden6 masquerade
  }}
"""
# guard: `route_localnet` on the bridge would let guests reach what listens on the host's loopback
#   interface, and neighbors on the LAN reach ports published on 127.0.0.1: their packets are
#   turned to the container before the kernel looks for martians
#   (https://github.com/moby/moby/issues/45610). IPv6 has no such switch. What arrives on a cable
#   itself and not on its bridge is for a group that bridges do not forward (IEEE 802.1Q, 8.6.3),
#   and no other rule would know it for a guest's.
# share: the table of connections is the host's, and who fills it takes the network from everybody.
# publish: a link-local sender could not be answered from another link. And where the rules see
#   what passes a bridge, an answer to ::1 has its address changed back before the kernel checks
#   that no such packet comes over a wire: it is better refused at once than never answered.
# asking: one name server works for all members of a network, and keeps each question that it has
#   handed on for ten seconds, and each connection in a process, of which it has twenty.
# to_host: a host takes packets for each of its addresses on each of its links; what listens on a
#   bridge, as the name server does, is for the members of that network only. Of the rest a guest
#   reaches what its network or its own record says. Where a network has no name server, guests are
#   told of those that the host asks, and the host itself may be one.
# forward: the host routes now, but nobody outside may route to a container past its ports, and
#   networks are closed to one another.
# leaving: the host's loopback address is no good as a sender on a bridge; and a guest that asks
#   for a published port of its own network must get the answer by way of the host.

_BRIDGE_RULES = f"""
  chain neighbor {{
    icmpv6 type nd-neighbor-advert iifname . @th,64,128 @targets6 accept
    icmpv6 type {{ nd-neighbor-advert, nd-router-advert, nd-redirect }} drop
    udp sport 547 drop
    frag frag-off != 0 accept
    frag frag-off 0 @th,0,16 & 0x0 == 0x0 accept
    exthdr frag exists drop
    accept
  }}
  chain arriving {{
    type filter hook prerouting priority -300
    iifname != "{CABLES}*" accept
    ether type ip udp sport 67 drop
    ether type ip iifname . ether saddr . ip saddr @guests accept
    ether type arp iifname . ether saddr . arp saddr ip @guests \
iifname . arp saddr ether . arp saddr ip @guests accept
    ether type ip6 iifname . ether saddr . ip6 saddr @guests6 jump neighbor
    ip6 saddr :: iifname . ether saddr @macs6 icmpv6 type nd-neighbor-solicit \
iifname . @th,64,128 @targets6 accept
    ip6 saddr :: iifname . ether saddr @macs6 icmpv6 type \
{{ mld-listener-report, mld2-listener-report }} accept
    drop
  }}
"""
# A first fragment without a transport header would hide from these rules what it is part of; the
# rule above, true of any two bytes, fails where there are none. Nobody sends such (RFC 7112, 5).
#
# `@th,64,128` is the target of a neighbor solicitation or advertisement (RFC 4861, 4.3 and 4.4);
# nft before 1.0.9 has no name for it. Guests may look whether an address is free, but only for
# their own, or they could keep all others from having one (RFC 4862, 5.4).


class FirewallHost(Value, frozen=True, kw_only=True):
    """What the rules have to know of this host."""

    loopback6: bool = True
    """Whether it can reach published ports by ::1."""
    flows: int = 1 << 18
    """How many connections it can keep track of (nf_conntrack-sysctl.rst)."""


def ruleset(state: NetworkState, host: FirewallHost) -> str:
    """Give the transaction that replaces both tables by what is needed now."""
    return REMOVAL + _tables(state, host)


def first_ruleset(state: NetworkState, host: FirewallHost) -> str:
    """Give the same for when there is no table; nft refuses it else.

    It takes a third of the time: what is replaced waits for packets that are on their way.
    """
    create = "create table inet oven\ncreate table bridge oven\n"
    return create + _tables(state, host)


def _tables(state: NetworkState, host: FirewallHost) -> str:
    elements = {**_of_networks(state), **_of_leases(state.leases, state)}
    sets = "".join(
        _declaration("set", name, f"type {kind}", elements)
        for name, kind in (*_SETS.items(), *_ADMITTED.items())
    )
    maps = "".join(
        _declaration("map", name, f"type {kind}", elements) for name, kind in _MAPS.items()
    )
    guests = "".join(_declaration("set", name, kind, elements) for name, kind in _GUESTS.items())
    rules = _RULES.format(
        cables=CABLES,
        share=max(host.flows // _SHARES, 1),
        questions=_QUESTIONS,
        talks=_TALKS,
        unreachable="fe80::/10" if host.loopback6 else "{ ::1, fe80::/10 }",
    )
    inet = f"table inet oven {{\n{sets}{maps}{rules}}}\n"
    return f"{inet}table bridge oven {{\n{guests}{_BRIDGE_RULES}}}\n"


def addition(leases: Iterable[Lease], state: NetworkState) -> str:
    """Give the transaction that adds members of networks of a state.

    nft refuses it where the tables are missing.
    """
    return _change("add", leases, state)


def deletion(leases: Iterable[Lease], state: NetworkState) -> str:
    """Give the transaction that takes members away; nft refuses it where one is not there."""
    return _change("delete", leases, state)


def _change(verb: str, leases: Iterable[Lease], state: NetworkState) -> str:
    lines = []
    for name, elements in _of_leases(leases, state).items():
        table = "bridge" if name in _GUESTS else "inet"
        if elements:
            lines.append(f"{verb} element {table} oven {name} {{ {', '.join(elements)} }}\n")
    return "".join(lines)


def _declaration(what: str, name: str, kind: str, elements: dict[str, list[str]]) -> str:
    """Declare a set or map; older nft refuse `elements = { }`."""
    inner = ", ".join(elements[name])
    filled = f" elements = {{ {inner} }};" if inner else ""
    return f"  {what} {name} {{ {kind};{filled} }}\n"


def _of_networks(state: NetworkState) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {name: [] for name in _SETS}
    for one in state.segments:
        bridge = f'"{one.bridge}"'
        found["bridges"].append(bridge)
        found["same"].append(f"{bridge} . {bridge}")
        if one.internal:
            found["internal"].append(bridge)
        elif not one.nat:
            found["routed"].append(bridge)
        if not (one.named or one.internal):
            found["nameless"].append(bridge)
        for suffix, subnet, gateway in (
            ("", one.subnet, one.gateway),
            ("6", one.subnet6, one.gateway6),
        ):
            if subnet and gateway:
                found["gateways" + suffix].append(f"{bridge} . {gateway}")
                found["addresses" + suffix].append(gateway)
                found["own" + suffix].append(f"{bridge} . {subnet}")
                if one.nat and not one.internal:
                    found["hidden" + suffix].append(subnet)
    return found


def _of_leases(leases: Iterable[Lease], state: NetworkState) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {name: [] for name in (*_MAPS, *_GUESTS, *_ADMITTED)}
    access = {one.key: one.host for one in state.segments}
    for lease in leases:
        host = access[lease.segment] if lease.host is None else lease.host
        for name, element in (*_guest(lease), *_ports(lease), *_admitted(lease, host)):
            found[name].append(element)
    return found


def _guest(lease: Lease) -> Iterator[tuple[str, str]]:
    cable = f'"{lease.interface}" . '
    if lease.address:
        yield "guests", f"{cable}{lease.mac} . {lease.address}"
    if lease.address6:
        yield "macs6", f"{cable}{lease.mac}"
        for address in (lease.address6, link_local_of(lease.mac)):
            yield "guests6", f"{cable}{lease.mac} . {address}"
            yield "targets6", f"{cable}{_number(address)}"


def _admitted(lease: Lease, host: HostAccess) -> Iterator[tuple[str, str]]:
    """Give the elements for what of the host is reached, by each address of the guest."""
    if host == "none":
        return
    senders = [("", lease.address)] if lease.address else []
    if lease.address6:
        senders += [("6", lease.address6), ("6", link_local_of(lease.mac))]
    for suffix, address in senders:
        if host == "all":
            yield f"trusted{suffix}", address
        else:
            for one in host:
                yield f"admitted{suffix}", f"{address} . {one.protocol} . {one.port}"


def _number(address: str) -> str:
    from ipaddress import IPv6Address

    return f"0x{int(IPv6Address(address)):032x}"


def _ports(lease: Lease) -> Iterator[tuple[str, str]]:
    """Give the elements for published ports, for each version of IP that both sides have."""
    for mapping in lease.ports:
        for family, suffix, address in ((4, "", lease.address), (6, "6", lease.address6)):
            if address and family in mapping.families:
                yield _port(mapping, suffix, address)


def _port(mapping: PortMapping, suffix: str, address: str) -> tuple[str, str]:
    target = f"{address} . {mapping.port}"
    if mapping.everywhere:
        return f"ports{suffix}", f"{mapping.protocol} . {mapping.host} : {target}"
    claim = f"{mapping.protocol} . {mapping.address} . {mapping.host}"
    return f"ports{suffix}_at", f"{claim} : {target}"
