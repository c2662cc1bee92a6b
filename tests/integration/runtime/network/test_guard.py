"""What a guest or a neighbor may not do, each shown to work where it is not guarded against."""

import sys

import pytest

from builder.host.network import link
from tests.support.hosts.netns import Namespace
from tests.support.hosts.networks import (
    BLOCKED,
    GATEWAY,
    GATEWAY6,
    HOST,
    HOST6,
    OVEN,
    REFUSED,
    WEB,
    Rig,
    cables,
)
from tests.support.needs import needs

pytestmark = needs(
    "root", "program:ip", "program:nft", "program:nsenter", "program:ss", "program:arping"
)


def test_outside_cannot_route_past_the_published_ports(rig: Rig) -> None:
    web, lease = rig.attach("web", "8080:80")
    web.serve("web", 80, 81)
    rig.outside.run("ip", "route", "add", str(lease.address), "via", HOST)
    try:
        assert rig.outside.ask("tcp", str(lease.address), 80, timeout=0.5) == BLOCKED
        assert rig.outside.ask("tcp", str(lease.address), 81, timeout=0.5) == BLOCKED
        assert rig.outside.ask("tcp", HOST, 8080).startswith("web ")
    finally:
        rig.outside.run("ip", "route", "del", str(lease.address))


def _send_loopback_out(namespace: Namespace, device: str, gateway: str) -> None:
    """Have a namespace send packets for 127.0.0.2 to a neighbor, as an attacker would."""
    for setting in (f"conf/{device}/route_localnet=1", "conf/all/rp_filter=0"):
        name, _, value = setting.partition("=")
        namespace.run("sh", "-c", f"echo {value} > /proc/sys/net/ipv4/{name}")
    namespace.run("ip", "route", "del", "table", "local", "local", "127.0.0.0/8", "dev", "lo")
    namespace.run("ip", "route", "add", "127.0.0.2", "via", gateway, "dev", device)


@pytest.mark.parametrize("guarded", [True, False])
def test_guest_cannot_reach_the_loopback_interface_of_the_host(rig: Rig, guarded: bool) -> None:
    """Without the guard the same attack works, so the test could see it."""
    guest, lease = rig.attach("guest")
    rig.host.serve("secret", 7002, address="127.0.0.2")
    _send_loopback_out(guest, "eth0", GATEWAY)
    if not guarded:
        link.apply_rules("flush chain inet oven guard\n")
    answer = guest.ask("tcp", "127.0.0.2", 7002, timeout=1, source=str(lease.address))
    assert answer == (BLOCKED if guarded else f"secret {lease.address}")


def test_neighbor_cannot_reach_a_port_published_on_loopback(rig: Rig) -> None:
    web, _ = rig.attach("web", "127.0.0.2:8080:80")
    web.serve("web", 80)
    neighbor = rig.container()
    rig.host.run("ip", "link", "add", "lan1", "type", "veth", "peer", "name", "eth0",
                 "netns", str(neighbor.pid))  # fmt: skip
    try:
        rig.host.run("ip", "address", "add", "203.0.113.1/24", "dev", "lan1")
        rig.host.run("ip", "link", "set", "lan1", "up")
        neighbor.run("ip", "address", "add", "203.0.113.2/24", "dev", "eth0")
        neighbor.run("ip", "link", "set", "lo", "up")
        neighbor.run("ip", "link", "set", "eth0", "up")
        _send_loopback_out(neighbor, "eth0", "203.0.113.1")
        ask = ("tcp", "127.0.0.2", 8080)
        assert neighbor.ask(*ask, timeout=1, source="203.0.113.2") == BLOCKED
        assert rig.host.ask(*ask).startswith("web ")
        link.apply_rules("flush chain inet oven guard\n")
        assert neighbor.ask(*ask, source="203.0.113.2").startswith("web "), "the attack works"
    finally:
        rig.host.run("ip", "link", "del", "lan1")


def test_guest_cannot_take_the_address_of_another(rig: Rig) -> None:
    rig.host.serve("host", 7003)
    victim, victims = rig.attach("victim")
    guest, own = rig.attach("guest")
    asks = ("tcp", GATEWAY, 7003)
    guest.run("ip", "address", "add", f"{victims.address}/24", "dev", "eth0")
    assert guest.ask(*asks, timeout=0.5, source=str(victims.address)) == BLOCKED
    assert guest.ask(*asks) == f"host {own.address}"
    guest.run("ip", "link", "set", "eth0", "address", victims.mac)
    assert guest.ask(*asks, timeout=0.5) == BLOCKED
    guest.run("ip", "link", "set", "eth0", "address", own.mac)
    assert guest.ask(*asks) == f"host {own.address}"
    # The victim has been there all the time.
    assert victim.ask(*asks) == f"host {victims.address}"


def test_guest_cannot_take_the_ipv6_address_of_another(rig: Rig) -> None:
    rig.host.serve("host", 7003, address="::")
    victim, victims = rig.attach("victim")
    guest, own = rig.attach("guest")
    asks = ("tcp", GATEWAY6, 7003)
    guest.run("ip", "address", "add", f"{victims.address6}/64", "dev", "eth0", "nodad")
    assert guest.ask(*asks, timeout=0.5, source=str(victims.address6)) == BLOCKED
    assert guest.ask(*asks, source=str(own.address6)) == f"host {own.address6}"
    assert victim.ask(*asks) == f"host {victims.address6}"


ADVERTISE = """
import socket, sys
target, claimed, other = sys.argv[1:4]
mac = bytes(int(one, 16) for one in sys.argv[4].split(":"))
s = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, 255)
kind = int(sys.argv[5])
if len(sys.argv) > 6:
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_DSTOPTS, bytes((0, 0, 1, 4, 0, 0, 0, 0)))
if kind == 136:
    body = b"\\x60\\0\\0\\0" + socket.inet_pton(socket.AF_INET6, claimed) + b"\\x02\\x01" + mac
else:
    body = b"\\x40\\0\\x07\\x08" + bytes(8)
s.sendto(bytes((kind, 0, 0, 0)) + body, (target, 0, 0, socket.if_nametoindex(other)))
"""


def _advertise(guest: Namespace, target: str, claimed: str, *words: str) -> None:
    """Send an advertisement as an attacker would: hardware address, type, and how it is hidden."""
    guest.run(sys.executable, "-IS", "-c", ADVERTISE, target, claimed, "eth0", *words)


@pytest.mark.parametrize("guarded", [True, False])
def test_guest_cannot_claim_the_ipv6_address_of_another(rig: Rig, guarded: bool) -> None:
    """Without the rules the same attack works, so the test could see it."""
    victim, victims = rig.attach("victim")
    guest, own = rig.attach("guest")
    bridge = next(name for name in cables() if name.startswith("ovenb-"))
    victim.ask("tcp", GATEWAY6, 1)
    if not guarded:
        link.apply_rules("flush chain bridge oven arriving\n")
    _advertise(guest, GATEWAY6, str(victims.address6), own.mac, "136")
    # An answer of the host to the guest shows that it has seen what came before.
    assert guest.ask("tcp", GATEWAY6, 1) == REFUSED
    known = rig.host.run("ip", "-6", "neigh", "show", str(victims.address6), "dev", bridge)
    assert (victims.mac in known) is guarded, known
    assert (own.mac in known) is not guarded, known


@pytest.mark.parametrize("guarded", [True, False])
@pytest.mark.parametrize("hidden", [(), ("options",)], ids=["plain", "behind-another-header"])
def test_guest_cannot_play_the_router(rig: Rig, guarded: bool, hidden: tuple[str, ...]) -> None:
    victim, _ = rig.attach("victim")
    guest, own = rig.attach("guest")
    victim.serve("victim", 80, address="::")
    if not guarded:
        link.apply_rules("flush chain bridge oven arriving\n")
    _until_settled(guest)
    _until_settled(victim)
    _advertise(guest, "ff02::1", "::", own.mac, "134", *hidden)
    source = str(own.address6)
    assert guest.ask("tcp", _address6(victim), 80, source=source).startswith("victim")
    routes = victim.run("ip", "-6", "route", "show", "default")
    assert ("proto ra" in routes) is not guarded, routes
    assert "proto ra" not in rig.host.run("ip", "-6", "route", "show", "default")


def _until_settled(namespace: Namespace) -> None:
    """Wait until the link-local address, from which advertisements come, may be used."""
    wait = "until ip -6 -o address show eth0 scope link | grep -vq tentative; do sleep .05; done"
    namespace.run("sh", "-c", wait)


def _address6(namespace: Namespace) -> str:
    shown = namespace.run("ip", "-6", "-o", "address", "show", "eth0", "scope", "global")
    return shown.split()[3].partition("/")[0]


@pytest.mark.parametrize("guarded", [True, False])
def test_guest_cannot_claim_an_address_by_arp(rig: Rig, guarded: bool) -> None:
    _, victims = rig.attach("victim")
    guest, own = rig.attach("guest")
    bridge = next(name for name in cables() if name.startswith("ovenb-"))
    if not guarded:
        link.apply_rules("flush chain bridge oven arriving\n")
    guest.run("ip", "address", "add", f"{victims.address}/32", "dev", "eth0")
    # Unsolicited answers, which a host takes for what it knows already.
    # Unsolicited; without an answer, which nobody owes it, the program ends with 1.
    claim = f"arping -c 1 -w 1 -U -i eth0 -S {victims.address} {GATEWAY} || true"
    guest.run("sh", "-c", claim)
    assert guest.ask("tcp", GATEWAY, 1, source=str(own.address)) == REFUSED
    known = rig.host.run("ip", "neigh", "show", str(victims.address), "dev", bridge)
    assert (victims.mac in known) is guarded, known


@pytest.mark.parametrize("guarded", [True, False])
def test_guest_cannot_play_the_dhcp_server(rig: Rig, guarded: bool) -> None:
    victim, its = rig.attach("victim")
    guest, own = rig.attach("guest")
    victim.serve("victim", 68)
    if not guarded:
        link.apply_rules("flush chain bridge oven arriving\n")
    asked = ("udp", str(its.address), 68)
    answer = guest.ask(*asked, timeout=0.5, source=f"{own.address}#67")
    assert (answer == BLOCKED) is guarded, answer
    assert guest.ask(*asked) == f"victim {own.address}"


def test_guest_reaches_only_its_own_gateway(rig: Rig) -> None:
    """A host takes packets for all of its addresses on all of its links."""
    one, _ = rig.on("one", OVEN)
    two, _ = rig.on("two", WEB)
    rig.host.serve("host", 7006)
    rig.host.serve("host", 7006, address="::")
    assert one.ask("tcp", GATEWAY, 7006).startswith("host ")
    assert one.ask("tcp", GATEWAY6, 7006).startswith("host ")
    for gateway in (GATEWAY, GATEWAY6):
        assert two.ask("tcp", gateway, 7006, timeout=0.5) == BLOCKED
        rig.outside.run("ip", "route", "add", gateway, "via", HOST6 if ":" in gateway else HOST)
        try:
            assert rig.outside.ask("tcp", gateway, 7006, timeout=0.5) == BLOCKED
        finally:
            rig.outside.run("ip", "route", "del", gateway)
        assert rig.host.ask("tcp", gateway, 7006).startswith("host ")
