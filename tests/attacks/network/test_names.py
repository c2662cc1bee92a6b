"""What a container may ask of the name server that it shares with its neighbors.

Each flood is played with our rules, and without them, where it has to work.
"""

import socketserver
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.host.network import link
from builder.runtime.network import dns
from tests.support.hosts.networks import GATEWAY, Rig, lookup
from tests.support.needs import needs

pytestmark = needs(
    "root", "program:ip", "program:nft", "program:nsenter", "program:ss", "program:dnsmasq"
)

GOOD = b"\4good\7example\0"

FLOOD = """
import socket, struct, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect((sys.argv[1], 53))
for number in range(int(sys.argv[2])):
    name = f"bad{number}".encode()
    question = bytes([len(name)]) + name + b"\\x07example\\0\\0\\1\\0\\1"
    s.send(struct.pack("!6H", number & 0xffff, 0x100, 1, 0, 0, 0) + question)
"""

HOLD = """
import socket, sys, time
held = []
for _ in range(40):
    s = socket.socket()
    s.settimeout(0.05)
    try:
        s.connect((sys.argv[1], 53))
    except OSError:
        continue
    held.append(s)
print(len(held))
"""


class Silent(socketserver.BaseRequestHandler):
    """A name server far away that knows one name, and says nothing of others."""

    def handle(self) -> None:
        data, reply = self.request
        if GOOD in data:
            answer = b"\xc0\x0c\0\x01\0\x01\0\0\0\0\0\x04" + bytes((192, 0, 2, 99))
            head = data[:2] + b"\x81\x80\0\x01\0\x01\0\0\0\0"
            reply.sendto(head + data[12 : 12 + len(GOOD) + 4] + answer, self.client_address)


@pytest.fixture
def server_far_away(rig: Rig) -> Iterator[None]:
    lines = Path("/etc/resolv.conf").read_text().splitlines()
    address = next(line for line in lines if "nameserver" in line).split()[1]
    rig.host.run("ip", "address", "add", f"{address}/32", "dev", "lo")
    with socketserver.UDPServer((address, 53), Silent) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield
        server.shutdown()
        thread.join()
    rig.host.run("ip", "address", "del", f"{address}/32", "dev", "lo")


@pytest.mark.usefixtures("server_far_away")
@pytest.mark.parametrize("guarded", [True, False])
def test_a_flood_of_questions_costs_neighbors_no_answer(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, guarded: bool
) -> None:
    """Questions that nobody answers wait for ten seconds, and the name server keeps so many."""
    if not guarded:
        usual = dns._CONFIGURATION.replace("dns-forward-max=10000", "dns-forward-max=150")
        monkeypatch.setattr(dns, "_CONFIGURATION", usual)
    guest, _ = rig.attach("guest")
    neighbor, _ = rig.attach("neighbor")
    if not guarded:
        link.apply_rules("flush chain inet oven asking\n")
    guest.run(sys.executable, "-IS", "-c", FLOOD, GATEWAY, "20000")
    assert (lookup(neighbor, "good.example") == "192.0.2.99") is guarded


@pytest.mark.parametrize("guarded", [True, False])
def test_nobody_holds_all_connections_to_the_name_server(rig: Rig, guarded: bool) -> None:
    guest, _ = rig.attach("guest")
    if not guarded:
        link.apply_rules("flush chain inet oven asking\n")
    held = int(guest.run(sys.executable, "-IS", "-c", HOLD, GATEWAY))
    assert (held <= 4) is guarded
