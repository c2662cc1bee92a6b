"""The network of containers, on a real bridge with real packets, in a host of its own.

The test process moves into a network namespace that plays the host, so that nothing here meets
the network of the machine, and every test finds and leaves an empty host.
"""

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from builder.host import link
from builder.host.process import Command, Done, on_host
from builder.model.errors import ConflictError, HostError
from builder.model.network import Lease, PortMapping, parse_port
from builder.runtime.bridge import Bridge
from tests.support.needs import needs
from tests.support.netns import Namespace, world

pytestmark = needs("root", "program:ip", "program:nft", "program:nsenter", "program:ss")

HOST = "198.51.100.1"
OUTSIDE = "198.51.100.2"
BLOCKED = "TimeoutError"
FOREIGN = "table inet others {\n\tset s {\n\t\ttype ipv4_addr\n\t}\n}\n"


@dataclass
class Rig:
    """A host, its bridge, a machine outside, and containers to attach."""

    host: Namespace
    outside: Namespace
    bridge: Bridge
    stack: contextlib.ExitStack

    def container(self) -> Namespace:
        made = Namespace(userns=True)
        self.stack.callback(made.close)
        return made

    def attach(
        self, name: str, *ports: str, preferred: str | None = None
    ) -> tuple[Namespace, Lease]:
        made = self.container()
        return made, self.join(made, name, *ports, preferred=preferred)

    def join(self, made: Namespace, name: str, *ports: str, preferred: str | None = None) -> Lease:
        mappings = tuple(map(parse_port, ports))
        return self.bridge.attach(name, name, made.pid, preferred=preferred, ports=mappings)

    def assert_clean(self) -> None:
        """See that nothing of Oven is on the host."""
        assert link.interfaces() == {"lo", "lan0"}
        assert _ruleset() == FOREIGN
        assert self.host.run("ip", "route", "show", "table", "all").count("oven") == 0
        assert self.host.run("ip", "neigh").count("oven") == 0
        assert {path.name for path in self.bridge.folder.iterdir()} <= {"lock"}


def _ruleset() -> str:
    return on_host(Command(("nft", "list", "ruleset"))).stdout.decode()


@pytest.fixture(scope="module")
def a_world() -> Iterator[tuple[Namespace, Namespace]]:
    with world() as (host, outside):
        link.apply_rules(FOREIGN)
        yield host, outside


@pytest.fixture
def rig(a_world: tuple[Namespace, Namespace], tmp_path: Path) -> Iterator[Rig]:
    host, outside = a_world
    with contextlib.ExitStack() as stack:
        stack.callback(host.stop_servers)
        stack.callback(outside.stop_servers)
        rig = Rig(host, outside, Bridge(folder=tmp_path / "network"), stack)
        yield rig
        for lease in rig.bridge.leases():
            rig.bridge.detach(lease.key)
        rig.bridge.detach("nobody")
        rig.assert_clean()


def test_container_has_its_address_and_reaches_the_host_and_others(rig: Rig) -> None:
    one, first = rig.attach("one")
    two, second = rig.attach("two")
    assert first.address in one.run("ip", "-4", "-o", "address", "show", "eth0")
    assert first.mac in one.run("ip", "link", "show", "eth0")
    two.serve("two", 80)
    assert one.ask("tcp", second.address, 80) == f"two {first.address}"
    rig.host.serve("host", 7000)
    assert one.ask("udp", first.gateway, 7000) == f"host {first.address}"


def test_containers_reach_the_outside_by_the_address_of_the_host(rig: Rig) -> None:
    one, _ = rig.attach("one")
    rig.outside.serve("outside", 7001)
    assert one.ask("tcp", OUTSIDE, 7001) == f"outside {HOST}"
    assert one.ask("udp", OUTSIDE, 7001) == f"outside {HOST}"


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_published_port_is_reached_from_everywhere(rig: Rig, protocol: str) -> None:
    web, lease = rig.attach("web", f"8080:80/{protocol}")
    web.serve("web", 80)
    other, its = rig.attach("other")
    assert rig.outside.ask(protocol, HOST, 8080) == f"web {OUTSIDE}"
    assert rig.host.ask(protocol, "127.0.0.1", 8080) == f"web {lease.gateway}"
    for address in (HOST, lease.gateway):
        assert rig.host.ask(protocol, address, 8080).startswith("web ")
        assert other.ask(protocol, address, 8080).startswith("web ")
        assert web.ask(protocol, address, 8080).startswith("web "), "from the publisher itself"
    assert its.address != lease.address


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_published_port_without_bridge_netfilter(rig: Rig, protocol: str) -> None:
    """What a bridge does with packets differs by whether br_netfilter is loaded."""
    setting = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
    if not setting.exists():
        pytest.skip("this kernel has no br_netfilter, so the other tests are this one")
    before = setting.read_text(encoding="ascii")
    web, lease = rig.attach("web", f"8080:80/{protocol}")
    web.serve("web", 80)
    other, _ = rig.attach("other")
    for value in ("0", "1"):
        setting.write_text(value, encoding="ascii")
        for asker in (rig.outside, rig.host, other, web):
            assert asker.ask(protocol, HOST, 8080).startswith("web "), value
        assert other.ask(protocol, lease.address, 80).startswith("web "), value
    setting.write_text(before, encoding="ascii")


def test_port_of_one_address_is_published_there_only(rig: Rig) -> None:
    web, _ = rig.attach("web", "127.0.0.1:8080:80", f"{HOST}:8081:80")
    web.serve("web", 80)
    assert rig.host.ask("tcp", "127.0.0.1", 8080).startswith("web ")
    assert rig.host.ask("tcp", HOST, 8080) == "ConnectionRefusedError"
    assert rig.outside.ask("tcp", HOST, 8080) == "ConnectionRefusedError"
    assert rig.outside.ask("tcp", HOST, 8081) == f"web {OUTSIDE}"
    assert rig.host.ask("tcp", "127.0.0.1", 8081) == "ConnectionRefusedError"


def test_two_containers_publish_one_number_on_two_addresses(rig: Rig) -> None:
    one, _ = rig.attach("one", "127.0.0.1:8080:80")
    two, _ = rig.attach("two", f"{HOST}:8080:80")
    three, _ = rig.attach("three", "8080:80/udp")
    for number, container in (("one", one), ("two", two), ("three", three)):
        container.serve(number, 80)
    assert rig.host.ask("tcp", "127.0.0.1", 8080).startswith("one ")
    assert rig.outside.ask("tcp", HOST, 8080).startswith("two ")
    assert rig.outside.ask("udp", HOST, 8080).startswith("three ")


def test_outside_cannot_route_past_the_published_ports(rig: Rig) -> None:
    web, lease = rig.attach("web", "8080:80")
    web.serve("web", 80, 81)
    rig.outside.run("ip", "route", "add", lease.address, "via", HOST)
    try:
        assert rig.outside.ask("tcp", lease.address, 80, timeout=0.5) == BLOCKED
        assert rig.outside.ask("tcp", lease.address, 81, timeout=0.5) == BLOCKED
        assert rig.outside.ask("tcp", HOST, 8080).startswith("web ")
    finally:
        rig.outside.run("ip", "route", "del", lease.address)


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
    _send_loopback_out(guest, "eth0", lease.gateway)
    if not guarded:
        link.apply_rules("flush chain inet oven guard\n")
    answer = guest.ask("tcp", "127.0.0.2", 7002, timeout=1, source=lease.address)
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
    asks = ("tcp", own.gateway, 7003)
    guest.run("ip", "address", "add", f"{victims.address}/24", "dev", "eth0")
    assert guest.ask(*asks, timeout=0.5, source=victims.address) == BLOCKED
    assert guest.ask(*asks) == f"host {own.address}"
    guest.run("ip", "link", "set", "eth0", "address", victims.mac)
    assert guest.ask(*asks, timeout=0.5) == BLOCKED
    guest.run("ip", "link", "set", "eth0", "address", own.mac)
    assert guest.ask(*asks) == f"host {own.address}"
    # The victim has been there all the time.
    assert victim.ask(*asks) == f"host {victims.address}"


def test_guests_have_no_ipv6_to_each_other(rig: Rig) -> None:
    one, _ = rig.attach("one")
    two, _ = rig.attach("two")
    for number, guest in (("1", one), ("2", two)):
        guest.run("ip", "address", "add", f"fd00::{number}/64", "dev", "eth0", "nodad")
    one.run("ip", "neigh", "flush", "dev", "eth0")
    script = "import socket; s=socket.socket(socket.AF_INET6); s.settimeout(.5); "
    script += "print(s.connect_ex(('fd00::2', 9)))"
    assert one.run("/usr/bin/python3", "-IS", "-c", script).strip() == "11"  # EAGAIN: timed out


def test_port_of_a_program_is_refused_with_its_name(rig: Rig) -> None:
    rig.host.serve("server", 7004)
    with pytest.raises(
        ConflictError, match=r"port 7004/tcp .* by `python\S*` \(pid \d+\)"
    ) as caught:
        rig.attach("web", "7004:80")
    assert caught.value.hint == "publish another one, such as `-p 17004:80`"
    with pytest.raises(ConflictError, match="7004/udp"):
        rig.attach("web", "7004:80/udp")
    rig.assert_clean()


def test_port_of_a_container_is_refused_with_its_name(rig: Rig) -> None:
    rig.attach("first", "8080:80")
    for port in ("8080:81", "127.0.0.1:8080:80"):
        with pytest.raises(ConflictError, match="in use by container `first`"):
            rig.attach("second", port)
    assert [lease.name for lease in rig.bridge.leases()] == ["first"]


def test_address_that_the_host_lacks_is_refused(rig: Rig) -> None:
    with pytest.raises(HostError, match=r"cannot publish port 80 on `192\.0\.2\.77`"):
        rig.attach("web", "192.0.2.77:80:80")


def test_preferred_address_is_given_when_it_is_free(rig: Rig) -> None:
    _, first = rig.attach("first", preferred="10.213.0.77")
    assert first.address == "10.213.0.77"
    _, second = rig.attach("second", preferred="10.213.0.77")
    assert second.address not in {"10.213.0.77", first.gateway}
    rig.bridge.detach("first")
    again, third = rig.attach("first", preferred="10.213.0.77")
    assert third.address == "10.213.0.77"
    assert again.ask("tcp", third.gateway, 1) == "ConnectionRefusedError"


def test_new_owner_of_an_address_is_reached_at_once(rig: Rig) -> None:
    rig.attach("keeper")
    old, lease = rig.attach("old", preferred="10.213.0.78")
    old.serve("old", 80)
    assert rig.host.ask("tcp", lease.address, 80).startswith("old ")
    rig.bridge.detach("old")
    new, its = rig.attach("new", preferred=lease.address)
    new.serve("new", 80)
    assert (its.address, its.mac != lease.mac) == (lease.address, True)
    assert rig.host.ask("tcp", its.address, 80, timeout=0.9).startswith("new ")


def test_network_avoids_what_the_host_routes(rig: Rig) -> None:
    rig.host.run("ip", "route", "add", "10.213.0.0/16", "via", OUTSIDE)
    rig.host.run("ip", "route", "add", "10.214.0.0/30", "dev", "lan0")
    try:
        _, lease = rig.attach("one")
        assert lease.gateway == "10.215.0.1"
    finally:
        rig.host.run("ip", "route", "del", "10.213.0.0/16")
        rig.host.run("ip", "route", "del", "10.214.0.0/30")


def test_network_of_the_settings_is_taken(rig: Rig) -> None:
    rig.bridge = Bridge(folder=rig.bridge.folder, subnet="172.30.5.0/28")
    leases = [rig.attach(f"c{number}")[1] for number in range(13)]
    assert {lease.address for lease in leases} == {f"172.30.5.{n}" for n in range(2, 15)}
    with pytest.raises(HostError, match="all 13 addresses"):
        rig.attach("one-too-many")


def test_packets_are_as_large_as_the_way_out_allows(rig: Rig) -> None:
    rig.host.run("ip", "link", "set", "lan0", "mtu", "1400")
    try:
        guest, _ = rig.attach("one")
        assert "mtu 1400" in guest.run("ip", "link", "show", "eth0")
    finally:
        rig.host.run("ip", "link", "set", "lan0", "mtu", "1500")


def test_container_that_was_killed_frees_address_port_and_cable(rig: Rig) -> None:
    keeper, _ = rig.attach("keeper", "8081:80")
    dead, lease = rig.attach("dead", "8080:80", preferred="10.213.0.79")
    dead.close()
    _, its = rig.attach("heir", "8080:80", preferred="10.213.0.79")
    assert its.address == lease.address
    assert {one.key for one in rig.bridge.leases()} == {"keeper", "heir"}
    assert lease.interface not in _ruleset() + " ".join(link.interfaces())
    keeper.serve("keeper", 80)
    assert rig.outside.ask("tcp", HOST, 8081).startswith("keeper ")


def test_detach_is_idempotent_and_keeps_the_others(rig: Rig) -> None:
    keeper, _ = rig.attach("keeper", "8081:80")
    rig.attach("goner", "8080:80")
    for _ in range(2):
        rig.bridge.detach("goner")
    keeper.serve("keeper", 80)
    assert rig.outside.ask("tcp", HOST, 8081).startswith("keeper ")
    assert rig.outside.ask("tcp", HOST, 8080) == "ConnectionRefusedError"
    for _ in range(2):
        rig.bridge.detach("keeper")
        rig.assert_clean()


def test_flushed_rules_come_back_with_the_next_container(rig: Rig) -> None:
    web, _ = rig.attach("web", "8080:80")
    web.serve("web", 80)
    link.apply_rules("flush ruleset\n" + FOREIGN)
    assert rig.outside.ask("tcp", HOST, 8080) == "ConnectionRefusedError"
    rig.attach("other")
    assert rig.outside.ask("tcp", HOST, 8080).startswith("web ")


def test_removed_bridge_comes_back_with_the_next_container(rig: Rig) -> None:
    web, _ = rig.attach("web", "8080:80")
    web.serve("web", 80)
    rig.host.run("ip", "link", "del", "oven0")
    other, _ = rig.attach("other")
    assert rig.outside.ask("tcp", HOST, 8080).startswith("web ")
    assert other.ask("tcp", HOST, 8080).startswith("web ")


def test_parallel_containers_get_different_addresses(rig: Rig) -> None:
    made = [rig.container() for _ in range(8)]
    children = [
        _fork(partial(rig.join, made[n], f"c{n}", f"{9000 + n}:80")) for n in range(len(made))
    ]
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 8
    leases = rig.bridge.leases()
    assert len({lease.address for lease in leases}) == 8


def _fork(work: Callable[[], object]) -> int:
    """Do something in a process of its own, which ends with status 0 if it went well."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return pid


def _killed_before(step: int, work: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> bool:
    """Do something and die by SIGKILL before its n-th command; tell whether it came that far."""
    left = step

    def run(command: Command) -> Done:
        nonlocal left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        return on_host(command)

    with monkeypatch.context() as patch:
        patch.setattr(link, "on_host", run)
        _, status = os.waitpid(_fork(work), 0)
    assert status in {0, signal.SIGKILL}
    return status != 0


@pytest.mark.parametrize("others", [0, 1])
def test_attach_killed_anywhere_is_repaired(
    rig: Rig, others: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if others:
        rig.attach("keeper")
    guest = rig.container()
    step = 0
    while _killed_before(step, lambda: rig.join(guest, "web", "8080:80"), monkeypatch):
        rig.join(guest, "web", "8080:80")
        assert guest.run("ip", "route").startswith("default via")
        answer = rig.outside.ask("tcp", HOST, 8080)
        assert answer == "ConnectionRefusedError", "by the guest: nothing listens there"
        rig.bridge.detach("web")
        assert _killed_before(step, lambda: rig.join(guest, "web", "8080:80"), monkeypatch)
        rig.bridge.detach("web")
        assert "8080" not in _ruleset()
        assert len([name for name in link.interfaces() if name.startswith("oven-")]) == others
        if not others:
            rig.assert_clean()
        step += 1
    assert step >= 3


@pytest.mark.parametrize("others", [0, 1])
def test_detach_killed_anywhere_is_repaired(
    rig: Rig, others: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if others:
        rig.attach("keeper")
    step = 0
    killed = True
    while killed:
        guest, _ = rig.attach("web", "8080:80")
        killed = _killed_before(step, lambda: rig.bridge.detach("web"), monkeypatch)
        guest.close()
        rig.bridge.detach("another")
        assert "8080" not in _ruleset()
        assert len([name for name in link.interfaces() if name.startswith("oven-")]) == others
        if not others:
            rig.assert_clean()
        step += 1
    assert step >= 2


def test_ended_container_is_told(rig: Rig) -> None:
    guest = rig.container()
    guest.close()
    with pytest.raises(ConflictError, match="container `web` has ended"):
        rig.join(guest, "web")
    rig.assert_clean()


def test_failing_attach_leaves_nothing(rig: Rig) -> None:
    guest = rig.container()
    guest.run("ip", "link", "add", "eth0", "type", "bridge")
    with pytest.raises(HostError, match="`ip` cannot set up the network: RTNETLINK answers: File"):
        rig.join(guest, "web")
    rig.assert_clean()


def test_port_mappings_are_kept_in_the_lease(rig: Rig) -> None:
    rig.attach("web", "8080:80")
    mapping = PortMapping(host=8080, port=80)
    assert [lease.ports for lease in rig.bridge.leases()] == [(mapping,)]


def test_other_program_that_drops_what_is_forwarded_is_found(rig: Rig) -> None:
    rig.attach("web")
    assert link.blocked_by() == ()
    link.apply_rules(
        "add chain inet others f { type filter hook forward priority 0; policy drop; }"
    )
    assert link.blocked_by() == ("inet others f",)
    link.apply_rules("delete chain inet others f")
