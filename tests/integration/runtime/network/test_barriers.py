"""Other firewalls: left alone, found where they are in the way, and the advice mends that."""

from collections.abc import Iterator

import pytest

from builder.host.network import link
from builder.host.network.firewalls import barriers
from tests.support.hosts.networks import (
    BLOCKED,
    GATEWAY,
    HOST,
    OUTSIDE,
    REFUSED,
    Rig,
    lookup,
    ruleset,
)
from tests.support.needs import needs

pytestmark = needs("root", "program:ip", "program:nft", "program:nsenter", "program:ss",
                   "program:iptables", "program:dnsmasq")  # fmt: skip

DROPPED = "{ type filter hook %s priority 0; policy drop; ct state established,related accept; }"
FIREWALLS = {
    "nftables": "nft 'add table inet filter; add chain inet filter forward "
    + DROPPED % "forward"
    + "'",
    "Docker": "iptables-nft -N DOCKER-USER; iptables-nft -A FORWARD -j DOCKER-USER;"
    " iptables-nft -P FORWARD DROP",
    "older iptables": "iptables-legacy -P FORWARD DROP",
}
CLEANING = """
for tool in iptables-nft iptables-legacy; do
    $tool -P FORWARD ACCEPT; $tool -P INPUT ACCEPT; $tool -F; $tool -X
done
for table in inet ip ip6; do nft delete table $table filter; done
true
"""


@pytest.fixture
def cleaned(rig: Rig) -> Iterator[None]:
    yield
    rig.host.run("sh", "-c", CLEANING)


@pytest.mark.parametrize("which", FIREWALLS)
@pytest.mark.usefixtures("cleaned")
def test_advice_lets_containers_pass(rig: Rig, which: str) -> None:
    guest, _ = rig.attach("web", "8080:80")
    guest.serve("web", 80)
    rig.outside.serve("outside", 7001)
    assert barriers() == ()
    rig.host.run("sh", "-c", FIREWALLS[which])
    if not barriers() and which == "older iptables":
        pytest.skip("this kernel has no tables of the older iptables")
    assert rig.outside.ask("tcp", HOST, 8080, timeout=0.5) == BLOCKED
    (found,) = barriers()
    assert found.way == "forward"
    assert ("DOCKER-USER" in found.fix) is (which == "Docker")
    rig.host.run("sh", "-c", found.fix)
    assert barriers() == ()
    assert rig.outside.ask("tcp", HOST, 8080).startswith("web ")
    assert guest.ask("tcp", OUTSIDE, 7001).startswith("outside ")
    # What we leave closed is not opened by that.
    rig.outside.run("ip", "route", "add", "10.213.0.0/24", "via", HOST)
    try:
        address = str(rig.leases()[0].address)
        assert rig.outside.ask("tcp", address, 80, timeout=0.5) == BLOCKED
    finally:
        rig.outside.run("ip", "route", "del", "10.213.0.0/24")


@pytest.mark.usefixtures("cleaned")
def test_advice_lets_containers_ask_for_names(rig: Rig) -> None:
    guest, lease = rig.attach("web")
    rig.host.serve("host", 7001)
    link.apply_rules(f"table inet filter {{ chain input {DROPPED % 'input'}; }}")
    assert lookup(guest, "web") == BLOCKED
    (found,) = barriers()
    assert (found.chain, found.way) == ("inet filter input", "input")
    rig.host.run("sh", "-c", found.fix)
    assert barriers() == ()
    assert lookup(guest, "web") == lease.address
    assert guest.ask("tcp", GATEWAY, 7001, timeout=0.5) == BLOCKED, "only names are let in"


def test_rules_of_others_are_left_as_they_are(rig: Rig) -> None:
    before = ruleset()
    rig.attach("one", "8080:80")
    rig.attach("two", "8081:80")
    rig.switch.detach("one")
    assert before in ruleset()
    rig.switch.detach("two")
    assert ruleset() == before


def test_reloaded_firewall_gets_our_rules_again(rig: Rig) -> None:
    """As `systemctl reload nftables` does, which flushes all rules of the host."""
    web, _ = rig.attach("web", "8080:80")
    web.serve("web", 80)
    own = ruleset()
    link.apply_rules("flush ruleset\n" + "table inet others {\n set s {\n type ipv4_addr\n }\n}\n")
    assert rig.outside.ask("tcp", HOST, 8080) == REFUSED
    rig.switch.settle()
    assert rig.outside.ask("tcp", HOST, 8080).startswith("web ")
    assert sorted(ruleset().splitlines()) == sorted(own.splitlines())
