"""What root in a container may send, and whom it may not reach or bring down by it.

Each attack is played with our rules, and without them, where it has to work: else nobody would know
that the test sees it.
"""

import json
import socket
import struct
import sys
from pathlib import Path

import msgspec
import pytest

from builder.host.network import link
from builder.model.host_access import parse_host_access as parse
from builder.model.network import Lease, Network
from tests.support.hosts.netns import Namespace
from tests.support.hosts.networks import (
    BLOCKED,
    GATEWAY,
    HOST,
    HOST6,
    OUTSIDE,
    OVEN,
    REFUSED,
    Rig,
    cables,
    lookup,
    wish,
)
from tests.support.needs import needs

pytestmark = needs("root", "program:ip", "program:nft", "program:nsenter", "program:bridge")

SEND = """
import socket, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind((sys.argv[1], 0))
for frame in sys.argv[2:]:
    s.send(bytes.fromhex(frame))
"""

LISTEN = """
import socket, sys
sockets = [socket.socket(family, socket.SOCK_DGRAM) for family in (socket.AF_INET, socket.AF_INET6)]
for s, address in zip(sockets, ("0.0.0.0", "::")):
    if address == "::":
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    s.bind((address, int(sys.argv[1])))
print("ready", flush=True)
import select
while True:
    for s in select.select(sockets, [], [])[0]:
        open(sys.argv[2], "ab").write(s.recv(100) + b"\\n")
"""

PING = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
s.settimeout(0.5)
s.sendto(bytes.fromhex("0800f7fd00010001"), (sys.argv[1], 0))
try:
    s.recv(100)
    print("answer")
except TimeoutError:
    print("silence")
"""

MANY = """
import socket, sys
for port in range(10000, 10000 + int(sys.argv[2])):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        s.sendto(b"?", (sys.argv[1], port))
    except OSError:
        pass
    s.close()
"""

LLDP = 0x88CC
LINK_LOCAL = [f"01:80:c2:00:00:{last:02x}" for last in range(16)]
"""Groups that a bridge does not forward (IEEE 802.1Q, 8.6.3)."""
PORT = 7100

PLAIN = msgspec.structs.replace(OVEN, host="none")
KINDS = [
    PLAIN,
    Network(name="routed", subnet="10.215.0.0/24", subnet6="fd00:0:0:3::/64", nat=False),
    Network(name="closed", subnet="10.216.0.0/24", subnet6="fd00:0:0:4::/64", internal=True),
]


def mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def frame(target: str, sender: str, kind: int, data: bytes = b"") -> str:
    """Write an Ethernet frame as SEND takes it."""
    return (mac(target) + mac(sender) + struct.pack("!H", kind) + data.ljust(46, b"\0")).hex()


def checksum(data: bytes) -> int:
    """Give the checksum of the internet protocols (RFC 1071)."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return 0xFFFF - total


def udp4(source: str, target: str, data: bytes) -> bytes:
    """Write an IPv4 packet with a datagram for PORT (RFC 791, RFC 768)."""
    body = struct.pack("!4H", 4000, PORT, 8 + len(data), 0) + data
    ends = socket.inet_aton(source) + socket.inet_aton(target)
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 1, 0, 64, 17, 0) + ends
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + body


def udp6(source: str, target: str, data: bytes, port: int = 4000) -> bytes:
    """Write an IPv6 header and a datagram for PORT (RFC 8200)."""
    ends = b"".join(socket.inet_pton(socket.AF_INET6, one) for one in (source, target))
    body = struct.pack("!4H", port, PORT, 8 + len(data), 0) + data.ljust(len(data) + len(data) % 2)
    pseudo = ends + struct.pack("!II", len(body), 17)
    body = body[:6] + struct.pack("!H", checksum(pseudo + body) or 0xFFFF) + body[8:]
    return struct.pack("!IHBB", 6 << 28, len(body), 17, 64) + ends + body


def in_fragments(packet: bytes) -> list[bytes]:
    """Cut an IPv6 packet so that its first fragment ends before the transport header.

    The first holds only destination options that fill a unit of eight bytes; RFC 7112 forbids it.
    """
    options = bytes((packet[6], 0, 1, 4, 0, 0, 0, 0))
    parts = []
    for offset, part, more in ((0, options, 1), (1, packet[40:], 0)):
        head = struct.pack("!BBHI", 60, 0, offset << 3 | more, 77)
        length = struct.pack("!H", len(head) + len(part))
        parts.append(packet[:4] + length + b"\x2c" + packet[7:40] + head + part)
    return parts


def send(guest: Namespace, *frames: str) -> None:
    guest.run(sys.executable, "-IS", "-c", SEND, "eth0", *frames)


def bridge() -> str:
    return next(name for name in cables() if name.startswith("ovenb-"))


def unguarded(*, chain: str = "") -> None:
    """Take the wall away that a test is about."""
    if chain:
        link.apply_rules(f"flush chain {chain}\n")
    link.configure([f"link set dev {bridge()} type bridge no_linklocal_learn 0"])


def silence(guest: Namespace) -> None:
    """Let a guest say nothing more, which would have the bridge learn anew where it is."""
    chain = "{ type filter hook egress device eth0 priority 0; policy drop; }"
    guest.run("nft", f"add table netdev quiet; add chain netdev quiet out {chain}")


def learned(rig: Rig) -> dict[str, str]:
    """Give which hardware addresses the bridges have learned, and on which cable."""
    lines = rig.host.run("bridge", "fdb", "show", "dynamic").splitlines()
    return {words[0]: words[2] for words in map(str.split, lines) if words}


@pytest.mark.parametrize("guarded", [True, False])
def test_nobody_takes_what_is_sent_to_a_neighbor(rig: Rig, guarded: bool) -> None:
    """Frames of a forged sender to groups that skip the rules move nobody's address."""
    victim, victims = rig.attach("victim")
    guest, own = rig.attach("guest")
    assert victim.ask("tcp", GATEWAY, 1) == REFUSED  # the bridge knows where it is
    silence(victim)
    if not guarded:
        unguarded()
    send(guest, *(frame(group, victims.mac, LLDP) for group in LINK_LOCAL))
    assert learned(rig)[victims.mac] == (victims if guarded else own).interface


def snoops(rig: Rig) -> int:
    (shown,) = json.loads(rig.host.run("ip", "-d", "-j", "link", "show", bridge()))
    return int(shown["linkinfo"]["info_data"]["mcast_snooping"])


def test_nobody_becomes_a_member_of_groups_in_the_place_of_others(rig: Rig) -> None:
    """No bridge listens to who asks for members: what is sent to groups reaches everybody."""
    rig.attach("guest")
    assert snoops(rig) == 0
    link.configure([f"link set dev {bridge()} type bridge mcast_snooping 1"])
    assert snoops(rig) == 1
    rig.switch.settle()
    assert snoops(rig) == 0


def test_bridges_of_before_are_made_deaf_by_a_reload(rig: Rig) -> None:
    """As an older Oven has left them, or somebody who tried something."""
    guest, own = rig.attach("guest")
    unguarded()
    # An address of nobody's: its owner could speak meanwhile, and get it back.
    send(guest, frame(LINK_LOCAL[14], "02:00:00:00:00:02", LLDP))
    assert learned(rig)["02:00:00:00:00:02"] == own.interface
    rig.switch.settle()
    send(guest, *(frame(group, "02:00:00:00:00:01", LLDP) for group in LINK_LOCAL))
    assert "02:00:00:00:00:01" not in learned(rig)


@pytest.mark.parametrize("guarded", [True, False])
def test_bridge_is_not_filled_with_senders_that_are_none(rig: Rig, guarded: bool) -> None:
    guest, _ = rig.attach("guest")
    if not guarded:
        unguarded()
    forged = [f"02:00:00:00:{high:02x}:{low:02x}" for high in range(2) for low in range(256)]
    for kind in (LLDP, 0x0800, 0x0806, 0x86DD, 0x8100):
        send(guest, *(frame("01:80:c2:00:00:0e", sender, kind) for sender in forged))
        send(guest, *(frame("ff:ff:ff:ff:ff:ff", sender, kind) for sender in forged))
    assert (len(learned(rig)) > 100) is not guarded


@pytest.mark.parametrize("guarded", [True, False])
@pytest.mark.parametrize("network", KINDS, ids=lambda network: network.name)
def test_no_packet_reaches_the_host_past_the_rules(
    rig: Rig, tmp_path: Path, network: Network, guarded: bool
) -> None:
    """Neither its uplink's address, nor its broadcast, whoever is said to be the sender."""
    heard = tmp_path / "heard"
    heard.touch()
    rig.host.start(LISTEN, str(PORT), str(heard))
    guest = rig.container()
    (lease,) = rig.connect(guest, "guest", wish(network))
    if not guarded:
        unguarded(chain="inet oven guard")
    send(guest, *_to_host(lease))
    # What came in order is there once something later has been answered.
    neighbor = rig.container()
    (other,) = rig.connect(neighbor, "neighbor", wish(network))
    neighbor.serve("neighbor", 80)
    assert guest.ask("tcp", str(other.address), 80).startswith("neighbor")
    assert bool(heard.read_bytes()) is not guarded, heard.read_text()


def _to_host(lease: Lease) -> list[str]:
    frames = []
    for group in (*LINK_LOCAL, "ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:01"):
        for source in (str(lease.address), "198.51.100.9", "192.0.2.1"):
            for target in (HOST, "198.51.100.255", "255.255.255.255", "224.0.0.1"):
                packet = udp4(source, target, f"{group} {source} {target}".encode())
                frames.append(frame(group, lease.mac, 0x0800, packet))
        for source in (str(lease.address6), "2001:db8::9"):
            for target in (HOST6, "ff02::1"):
                packet = udp6(source, target, f"{group} {source} {target}".encode())
                frames.append(frame(group, lease.mac, 0x86DD, packet))
    return frames


TAGS = {
    "none": b"",
    "vlan 0": b"\x81\x00\x00\x00",
    "vlan 5": b"\x81\x00\x00\x05",
    "service tag": b"\x88\xa8\x00\x05",
    "two tags": b"\x88\xa8\x00\x05\x81\x00\x00\x05",
}


# Frames of other VLANs no host takes for its own, also without rules; nobody could see them fail.
LIES = [(tag, True) for tag in TAGS] + [("none", False), ("vlan 0", False)]


@pytest.mark.parametrize(("tag", "guarded"), LIES)
def test_tags_hide_no_lie_from_the_rules(rig: Rig, tag: str, guarded: bool) -> None:
    """An answer of ARP for somebody else's address changes nothing, in whatever it is wrapped."""
    victim, victims = rig.attach("victim")
    guest, own = rig.attach("guest")
    assert victim.ask("tcp", GATEWAY, 1) == REFUSED  # the host knows where it is
    if not guarded:
        link.apply_rules("flush chain bridge oven arriving\n")
    hardware, protocol = mac(own.mac), socket.inet_aton(str(victims.address))
    lie = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 2) + (hardware + protocol) * 2
    target = mac("ff:ff:ff:ff:ff:ff")
    send(guest, (target + hardware + TAGS[tag] + b"\x08\x06" + lie.ljust(46, b"\0")).hex())
    assert guest.ask("tcp", GATEWAY, 1) == REFUSED
    known = rig.host.run("ip", "neigh", "show", str(victims.address), "dev", bridge())
    assert (victims.mac in known) is guarded, known


@pytest.mark.parametrize("guarded", [True, False])
def test_fragments_do_not_hide_a_server_of_addresses(
    rig: Rig, tmp_path: Path, guarded: bool
) -> None:
    """A DHCPv6 answer whose first fragment does not say that it is one reaches nobody."""
    heard = tmp_path / "heard"
    heard.touch()
    victim, victims = rig.attach("victim")
    victim.start(LISTEN, str(PORT), str(heard))
    victim.serve("victim", 80)
    guest, own = rig.attach("guest")
    if not guarded:
        link.apply_rules("flush chain bridge oven arriving\n")
    answer = udp6(str(own.address6), str(victims.address6), b"an address for you", port=547)
    honest = udp6(str(own.address6), str(victims.address6), b"something else")
    for packet in (*in_fragments(answer), answer, honest):
        send(guest, frame(victims.mac, own.mac, 0x86DD, packet))
    assert guest.ask("tcp", str(victims.address), 80).startswith("victim")
    assert b"something else" in heard.read_bytes()
    assert (b"an address" in heard.read_bytes()) is not guarded


def test_what_of_the_host_is_reached_is_a_choice(rig: Rig) -> None:
    rig.host.serve("host", 7003, 7004)
    rig.host.serve("host", 7003, 7004, address="::")
    guest = rig.container()
    (lease,) = rig.connect(guest, "guest", wish(PLAIN))
    for address in (GATEWAY, HOST, str(OVEN.subnet6).replace("::/64", "::1"), HOST6):
        assert guest.ask("tcp", address, 7003) == REFUSED
        assert guest.ask("udp", address, 7003, timeout=1) in {"OSError", "PermissionError"}
    assert rig.host.ask("tcp", GATEWAY, 7003).startswith("host")
    rig.switch.admit(lease.segment, parse("7003+7004/udp"))
    for address in (GATEWAY, HOST6):
        assert guest.ask("tcp", address, 7003).startswith("host")
        assert guest.ask("tcp", address, 7004) == REFUSED
    assert guest.ask("udp", GATEWAY, 7004).startswith("host")
    rig.switch.change("guest", {lease.segment: wish(PLAIN, host="all")})
    assert guest.ask("tcp", HOST, 7004).startswith("host")
    rig.switch.change("guest", {lease.segment: wish(PLAIN, host="none")})
    assert guest.ask("tcp", HOST, 7003) == REFUSED


def test_an_internal_network_reaches_nothing_of_the_host_but_names(rig: Rig) -> None:
    rig.host.serve("host", 7003)
    guest = rig.container()
    (lease,) = rig.connect(guest, "guest", wish(KINDS[2]))
    gateway = "10.216.0.1"
    assert guest.ask("tcp", gateway, 7003, timeout=0.5) == BLOCKED
    assert guest.run(sys.executable, "-IS", "-c", PING, gateway) == "silence\n"
    assert lookup(guest, "guest", server=gateway) == lease.address


@pytest.mark.parametrize("guarded", [True, False])
def test_no_guest_takes_all_that_the_host_can_keep_track_of(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, guarded: bool
) -> None:
    """The size of that table belongs to the whole machine, so that the test says another one."""
    monkeypatch.setattr(link, "most_flows", lambda: 800)
    rig.outside.serve("outside", 7007)
    guest, _ = rig.attach("guest")
    neighbor, _ = rig.attach("neighbor")
    if not guarded:
        link.apply_rules("flush chain inet oven share\n")
    guest.run(sys.executable, "-IS", "-c", MANY, OUTSIDE, "200")
    count = int(rig.host.run("cat", "/proc/sys/net/netfilter/nf_conntrack_count"))
    assert (count > 180) is not guarded
    assert neighbor.ask("tcp", OUTSIDE, 7007).startswith("outside")
    assert (guest.ask("tcp", OUTSIDE, 7007, timeout=0.5) == BLOCKED) is guarded
