"""Who reaches whom: containers, the host and the world, by both versions of IP."""

from pathlib import Path

import msgspec
import pytest

from builder.host.network import link
from builder.model.errors import ConflictError, HostError, RecipeError
from builder.model.network import Lease, Network
from builder.runtime.network import addresses
from builder.runtime.network.growth import NetworkMember
from tests.support.hosts.networks import (
    BLOCKED,
    GATEWAY,
    GATEWAY6,
    HOST,
    HOST6,
    OUTSIDE,
    OUTSIDE6,
    OVEN,
    REFUSED,
    WEB,
    Rig,
    cables,
    wish,
)
from tests.support.needs import needs

pytestmark = needs("root", "program:ip", "program:nft", "program:nsenter", "program:ss")


def test_container_has_its_address_and_reaches_the_host_and_others(rig: Rig) -> None:
    one, first = rig.attach("one")
    two, second = rig.attach("two")
    assert f"{first.address}/24" in one.run("ip", "-4", "-o", "address", "show", "eth0")
    assert f"{first.address6}/64" in one.run("ip", "-6", "-o", "address", "show", "eth0")
    assert first.mac in one.run("ip", "link", "show", "eth0")
    two.serve("two", 80)
    two.serve("two", 80, address="::")
    assert one.ask("tcp", str(second.address), 80) == f"two {first.address}"
    assert one.ask("tcp", str(second.address6), 80) == f"two {first.address6}"
    rig.host.serve("host", 7000)
    rig.host.serve("host", 7000, address="::")
    assert one.ask("udp", GATEWAY, 7000) == f"host {first.address}"
    assert one.ask("udp", GATEWAY6, 7000) == f"host {first.address6}"


def test_containers_reach_the_outside_by_the_address_of_the_host(rig: Rig) -> None:
    one, _ = rig.attach("one")
    rig.outside.serve("outside", 7001)
    assert one.ask("tcp", OUTSIDE, 7001) == f"outside {HOST}"
    assert one.ask("udp", OUTSIDE, 7001) == f"outside {HOST}"
    rig.outside.serve("outside", 7001, address="::")
    assert one.ask("tcp", OUTSIDE6, 7001) == f"outside {HOST6}"
    assert one.ask("udp", OUTSIDE6, 7001) == f"outside {HOST6}"


def test_address_that_was_asked_for_is_given_or_refused(rig: Rig) -> None:
    made = rig.container()
    asked = wish(OVEN, address="10.213.0.77", address6="fd00:0:0:1::77")
    (first,) = rig.connect(made, "first", asked)
    assert first.addresses == ("10.213.0.77", "fd00:0:0:1::77")
    assert made.ask("tcp", GATEWAY6, 1) == REFUSED
    for taken in ("10.213.0.77", GATEWAY, "10.213.0.255", "10.214.0.5", "nonsense", "::1"):
        with pytest.raises((ConflictError, RecipeError), match="address"):
            rig.attach("second", address=taken)
    rig.switch.detach("first")
    assert rig.attach("third", address="10.213.0.77")[1].address == "10.213.0.77"


def test_new_owner_of_an_address_is_reached_at_once(rig: Rig) -> None:
    rig.attach("keeper")
    old, lease = rig.attach("old", address="10.213.0.78")
    old.serve("old", 80)
    assert rig.host.ask("tcp", str(lease.address), 80).startswith("old ")
    rig.switch.detach("old")
    new, its = rig.attach("new", address=lease.address)
    new.serve("new", 80)
    assert (its.address, its.mac != lease.mac) == (lease.address, True)
    assert rig.host.ask("tcp", str(its.address), 80, timeout=0.9).startswith("new ")


def test_addresses_are_kept_under_another_name(rig: Rig) -> None:
    def attach(name: str, address_key: str = "") -> Lease:
        pid = rig.container().pid
        return rig.switch.attach(NetworkMember(name, name, pid, (), address_key), [wish(OVEN)])[0]

    first = attach("first")
    rig.switch.detach("first")
    renamed = attach("renamed", "first")
    assert (renamed.mac, renamed.addresses) == (first.mac, first.addresses)
    newcomer = attach("first")
    assert newcomer.mac != first.mac
    assert newcomer.address != first.address
    assert newcomer.interface != renamed.interface


@pytest.mark.parametrize(("outside", "inside"), [(1400, 1400), (1000, 1280)])
def test_packets_are_as_large_as_the_way_out_allows(rig: Rig, outside: int, inside: int) -> None:
    rig.host.run("ip", "link", "set", "lan0", "mtu", str(outside))
    try:
        guest, _ = rig.attach("one")
        assert f"mtu {inside}" in guest.run("ip", "link", "show", "eth0")
    finally:
        rig.host.run("ip", "link", "set", "lan0", "mtu", "1500")
        # The kernel forgets IPv6 on a link that cannot carry it.
        rig.host.run("ip", "address", "replace", f"{HOST6}/64", "dev", "lan0", "nodad")
        rig.host.run("ip", "route", "replace", "default", "via", OUTSIDE6)


def test_network_gives_every_address_once(rig: Rig) -> None:
    rig.network = Network(name="small", subnet="172.30.5.0/28")
    leases = [rig.attach(f"c{number}")[1] for number in range(13)]
    assert {lease.address for lease in leases} == {f"172.30.5.{n}" for n in range(2, 15)}
    with pytest.raises(HostError, match="all 13 addresses"):
        rig.attach("one-too-many")


def test_networks_are_closed_to_each_other(rig: Rig) -> None:
    one, _ = rig.on("one", OVEN)
    two, (its,) = rig.on("two", WEB)
    two.serve("two", 80)
    two.serve("two", 80, address="::")
    # Without our rules the kernel routes between them.
    for closed in (True, False):
        if not closed:
            link.apply_rules("flush chain inet oven forward\n")
        for address in its.addresses:
            answer = one.ask("tcp", address, 80, timeout=0.5)
            assert (answer == BLOCKED) is closed, answer


def test_container_on_two_networks_reaches_both(rig: Rig) -> None:
    one, (first,) = rig.on("one", OVEN)
    two, (second,) = rig.on("two", WEB)
    for number, container in (("1", one), ("2", two)):
        container.serve(number, 80)
        container.serve(number, 80, address="::")
    both, leases = rig.on("both", OVEN, WEB)
    assert [lease.device for lease in leases] == ["eth0", "eth1"]
    assert both.ask("tcp", str(first.address), 80) == f"1 {leases[0].address}"
    assert both.ask("tcp", str(second.address), 80) == f"2 {leases[1].address}"
    assert both.ask("tcp", str(second.address6), 80) == f"2 {leases[1].address6}"
    assert both.run("ip", "route", "show", "default").strip() == f"default via {GATEWAY} dev eth0"


def test_internal_network_has_no_way_out(rig: Rig) -> None:
    internal = msgspec.structs.replace(WEB, internal=True)
    one, (first,) = rig.on("one", internal)
    two, (second,) = rig.on("two", internal)
    two.serve("two", 80)
    rig.outside.serve("outside", 7001)
    assert one.ask("tcp", str(second.address), 80) == f"two {first.address}"
    assert one.run("ip", "route", "show", "default") == ""
    one.run("ip", "route", "add", "default", "via", "10.214.0.1")
    assert one.ask("tcp", OUTSIDE, 7001, timeout=0.5) == BLOCKED
    # On another network as well, it goes out by that one.
    both, _ = rig.on("both", internal, OVEN)
    assert both.ask("tcp", OUTSIDE, 7001) == f"outside {HOST}"
    with pytest.raises(RecipeError, match="`web` is internal"):
        rig.connect(rig.container(), "three", wish(internal), ports=("8080:80",))


def test_network_without_nat_is_seen_as_it_is(rig: Rig) -> None:
    routed = msgspec.structs.replace(WEB, nat=False)
    one, (lease,) = rig.on("one", routed)
    one.serve("one", 80)
    rig.outside.serve("outside", 7001)
    rig.outside.run("ip", "route", "add", "10.214.0.0/24", "via", HOST)
    try:
        assert one.ask("tcp", OUTSIDE, 7001) == f"outside {lease.address}"
        assert rig.outside.ask("tcp", str(lease.address), 80) == f"one {OUTSIDE}"
    finally:
        rig.outside.run("ip", "route", "del", "10.214.0.0/24")


def test_network_with_one_version_of_ip_only(rig: Rig) -> None:
    four, (lease,) = rig.on("four", Network(name="four", subnet="10.220.0.0/24"))
    assert (lease.address6, four.run("ip", "-6", "route", "show", "default")) == (None, "")
    six, (other,) = rig.on("six", Network(name="six", subnet6="fd00:0:0:9::/64"))
    assert (other.address, six.run("ip", "route", "show", "default")) == (None, "")
    rig.outside.serve("outside", 7001, address="::")
    assert six.ask("tcp", OUTSIDE6, 7001) == f"outside {HOST6}"


def test_host_without_ipv6_goes_without_unless_it_was_asked_for(rig: Rig) -> None:
    setting = Path("/proc/sys/net/ipv6/conf/all/disable_ipv6")
    setting.write_text("1", encoding="ascii")
    try:
        _, (lease,) = rig.on("one", msgspec.structs.replace(OVEN, chosen6=True))
        assert len(lease.addresses) == 1
        with pytest.raises(HostError, match="`web` needs IPv6, which this host has switched off"):
            rig.on("two", WEB)
        asked = wish(msgspec.structs.replace(OVEN, chosen6=True), address6="fd00:0:0:1::7")
        with pytest.raises(HostError, match="has no IPv6 here"):
            rig.connect(rig.container(), "three", asked)
    finally:
        setting.write_text("0", encoding="ascii")
        for number, namespace in (("1", rig.host),):
            added = f"2001:db8::{number}/64"
            namespace.run("ip", "address", "replace", added, "dev", "lan0", "nodad")
        rig.host.run("ip", "route", "replace", "default", "via", OUTSIDE6)


def test_host_goes_on_learning_its_own_routes(rig: Rig) -> None:
    """A host that routes IPv6 ignores router advertisements unless it is told otherwise."""
    conf = Path("/proc/sys/net/ipv6/conf")
    (conf / "all/forwarding").write_text("0", encoding="ascii")
    (conf / "lan0/accept_ra").write_text("1", encoding="ascii")
    rig.attach("one")
    assert (conf / "all/forwarding").read_text(encoding="ascii") == "1\n"
    assert (conf / "lan0/accept_ra").read_text(encoding="ascii") == "2\n"
    bridge = next(name for name in cables() if name.startswith(addresses.BRIDGES))
    assert (conf / bridge / "accept_ra").read_text(encoding="ascii") == "0\n"
