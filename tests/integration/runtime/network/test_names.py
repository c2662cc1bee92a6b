"""Names: containers find one another by name, and everybody else as the host does."""

import os
import signal
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from builder.host import pids
from builder.host.network import link
from builder.model.errors import HostError
from builder.model.network import Network
from builder.runtime.network import dns
from tests.support.hosts.networks import GATEWAY, GATEWAY6, HOST, OVEN, WEB, Rig, lookup
from tests.support.needs import needs

pytestmark = needs(
    "root", "program:ip", "program:nft", "program:nsenter", "program:ss", "program:dnsmasq"
)


def test_containers_find_each_other(rig: Rig) -> None:
    one, first = rig.attach("one")
    _, second = rig.attach("two")
    for server in (GATEWAY, GATEWAY6):
        for name in ("two", "two.oven", "TWO.Oven"):
            assert lookup(one, name, "A", server) == second.address
            assert lookup(one, name, "AAAA", server) == second.address6
    assert lookup(one, "one") == first.address
    reverse = ".".join(reversed(str(second.address).split("."))) + ".in-addr.arpa"
    assert "two" in lookup(one, reverse, "PTR")
    assert len(rig.servers()) == 1, "one process for all members"


def test_server_may_read_what_a_strict_mask_made(rig: Rig) -> None:
    before = os.umask(0o077)
    try:
        one, first = rig.attach("one")
        rig.attach("two")
    finally:
        os.umask(before)
    assert lookup(one, "one") == first.address


def test_name_ends_with_its_container(rig: Rig) -> None:
    one, _ = rig.attach("one")
    rig.attach("two")
    rig.switch.detach("two")
    assert lookup(one, "two") == "unknown"
    dead, _ = rig.attach("three")
    dead.close()
    rig.attach("four")
    assert lookup(one, "three") == "unknown"


def test_name_of_another_network_is_known_where_a_member_is_on_both(rig: Rig) -> None:
    one, _ = rig.on("one", OVEN)
    _, (second,) = rig.on("two", WEB)
    assert lookup(one, "two") == "unknown"
    rig.on("both", OVEN, WEB)
    assert lookup(one, "two.web") == second.address
    assert lookup(one, "two") == "unknown"
    rig.switch.detach("both")
    assert lookup(one, "two.web") != second.address


def test_container_without_ipv6_has_a_name_for_ipv4_alone(rig: Rig) -> None:
    rig.network = msgspec.structs.replace(OVEN, subnet6=None)
    one, lease = rig.attach("one")
    assert lookup(one, "one.oven") == lease.address
    assert lookup(one, "one.oven", "AAAA") == "nothing"


@pytest.fixture
def stub(rig: Rig) -> Iterator[set[str]]:
    """Run a name server on the loopback interface of the host; give the names it is asked for."""
    asked: set[str] = set()

    class Answer(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            data, reply = self.request
            labels, at = [], 12
            while data[at]:
                labels.append(data[at + 1 : at + 1 + data[at]].decode())
                at += 1 + data[at]
            asked.add(".".join(labels))
            answer = b"\xc0\x0c\0\x01\0\x01\0\0\0\0\0\x04" + bytes((192, 0, 2, 99))
            head = data[:2] + b"\x81\x80\0\x01\0\x01\0\0\0\0"
            reply.sendto(head + data[12 : at + 5] + answer, self.client_address)

    # The host of the tests is a network namespace: its resolv.conf is that of this machine.
    line = next(
        line for line in Path("/etc/resolv.conf").read_text().splitlines() if "nameserver" in line
    )
    address = line.split()[1]
    rig.host.run("ip", "address", "add", f"{address}/32", "dev", "lo")
    with socketserver.UDPServer((address, 53), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield asked
        server.shutdown()
        thread.join()
    rig.host.run("ip", "address", "del", f"{address}/32", "dev", "lo")


def test_other_names_are_asked_of_the_host_also_of_a_stub_on_loopback(
    rig: Rig, stub: set[str]
) -> None:
    one, _ = rig.attach("one")
    assert lookup(one, "example.org") == "192.0.2.99"
    for own in ("one", "one.oven", "nobody"):
        lookup(one, own)
        lookup(one, own, "AAAA")
    assert stub == {"example.org"}


def test_internal_network_asks_nobody(rig: Rig, stub: set[str]) -> None:
    one, (lease,) = rig.on("one", msgspec.structs.replace(WEB, internal=True))
    assert lookup(one, "one", server="10.214.0.1") == lease.address
    assert lookup(one, "example.org", server="10.214.0.1") != "192.0.2.99"
    assert stub == set()


def test_what_the_host_calls_itself_is_not_told(rig: Rig, stub: set[str]) -> None:
    one, _ = rig.attach("one")
    for line in Path("/etc/hosts").read_text().splitlines():
        for name in line.partition("#")[0].split()[1:]:
            answer = lookup(one, name)
            assert answer in {"unknown", "nothing", "192.0.2.99", "127.0.0.1"}, line
            if not name.startswith("localhost"):
                assert answer != "127.0.0.1", "this one is known to all (RFC 6761, 6.3)"


def test_nobody_outside_can_ask(rig: Rig) -> None:
    _, lease = rig.attach("one")
    other, _ = rig.on("other", WEB)
    assert lookup(rig.host, "one") == lease.address
    assert lookup(other, "one") == "TimeoutError"
    rig.outside.run("ip", "route", "add", GATEWAY, "via", HOST)
    try:
        for server in (GATEWAY, HOST):
            assert lookup(rig.outside, "one", server=server).endswith("Error")
    finally:
        rig.outside.run("ip", "route", "del", GATEWAY)


def test_server_that_died_comes_back(rig: Rig) -> None:
    one, lease = rig.attach("one")
    _kill_server(rig)
    rig.attach("two")
    assert lookup(one, "one") == lease.address
    _kill_server(rig)
    rig.switch.settle()
    assert lookup(one, "one") == lease.address


def _kill_server(rig: Rig) -> None:
    (pid,) = rig.servers()
    with pids.hold(pid) as server:
        server.send(signal.SIGKILL)
        assert server.wait(10)


def test_port_that_somebody_has_on_all_addresses(rig: Rig) -> None:
    """Then there are no names, and the host's servers are told to the container."""
    rig.host.serve("other", 53)
    rig.attach("one")
    assert rig.servers() == []
    segment = rig.switch.state().segments[0]
    assert not segment.named
    assert "`python" in str(dns.is_possible(segment))


def test_missing_program_is_named_with_its_package(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dns, "find_program", lambda _: None)
    rig.attach("one")
    segment = rig.switch.state().segments[0]
    assert not segment.named
    assert "apt-get install dnsmasq-base" in str(dns.is_possible(segment))
    assert rig.servers() == []


def test_server_that_cannot_start_is_told(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dns, "_CONFIGURATION", dns._CONFIGURATION + "no-such-option\n")
    with pytest.raises(HostError, match=r"cannot serve names on the network `oven`: .*option"):
        rig.attach("one")
    assert "oven" not in " ".join(link.interfaces())


def test_network_with_a_name_of_the_world_hides_nothing(rig: Rig, stub: set[str]) -> None:
    one, (lease,) = rig.on("one", Network(name="org", subnet="10.221.0.0/24"))
    assert lookup(one, "one.org", server="10.221.0.1") == lease.address
    assert lookup(one, "example.org", server="10.221.0.1") == "192.0.2.99"
    assert stub == {"example.org"}


def test_a_server_that_was_killed_is_there_again_with_the_next_look(rig: Rig) -> None:
    web, lease = rig.attach("web")
    (server,) = rig.servers()
    os.kill(server, signal.SIGKILL)
    with pids.hold(server) as process:
        process.wait(10)
    rig.switch.mend_names()
    assert lookup(web, "web") == lease.address
