"""The text of the firewall's rules; what they do is tested with real packets."""

import re

import msgspec
import pytest

from builder.model.network import Lease, NetworkState, Segment, parse_ports
from builder.runtime.network import firewall

SEGMENT = Segment(
    key="net",
    name="a name",
    bridge="ovenb-000000001",
    subnet="10.213.0.0/24",
    gateway="10.213.0.1",
    subnet6="fd00::/64",
    gateway6="fd00::1",
)


def _lease(number: int, *ports: str) -> Lease:
    return Lease(
        key=f"key {number}",
        name=f"name {number}",
        segment="net",
        address=f"10.213.0.{number}",
        address6=f"fd00::{number}",
        mac=f"02:00:00:00:00:{number:02x}",
        interface=f"oven-{number:010}",
        ports=tuple(one for text in ports for one in parse_ports(text)),
        pid=1,
        started=1,
        boot="now",
    )


def _ruleset(*leases: Lease, segment: Segment = SEGMENT) -> str:
    return firewall.ruleset(
        NetworkState(segments=(segment,), leases=leases), firewall.FirewallHost()
    )


def _elements(text: str, name: str) -> set[str]:
    found = re.search(rf"(?:set|map) {name} {{[^\n]*elements = {{ ([^\n]*?) }}; }}", text)
    return set(found[1].split(", ")) if found else set()


def test_ruleset_has_every_guest_and_port_once() -> None:
    text = _ruleset(_lease(2, "8080:80", "127.0.0.1:53:5353/udp", "[::1]:54:54"), _lease(3, "81"))
    assert _elements(text, "ports") == {
        "tcp . 8080 : 10.213.0.2 . 80",
        "tcp . 81 : 10.213.0.3 . 81",
    }
    assert _elements(text, "ports6") == {"tcp . 8080 : fd00::2 . 80", "tcp . 81 : fd00::3 . 81"}
    assert _elements(text, "ports_at") == {"udp . 127.0.0.1 . 53 : 10.213.0.2 . 5353"}
    assert _elements(text, "ports6_at") == {"tcp . ::1 . 54 : fd00::2 . 54"}
    assert _elements(text, "guests") == {
        '"oven-0000000002" . 02:00:00:00:00:02 . 10.213.0.2',
        '"oven-0000000003" . 02:00:00:00:00:03 . 10.213.0.3',
    }
    assert '"oven-0000000003" . 02:00:00:00:00:03 . fd00::3' in _elements(text, "guests6")
    assert "name 2" not in text, "nothing that a person chose gets into the rules"
    assert "a name" not in text


def test_kinds_of_networks() -> None:
    usual = _ruleset(_lease(2))
    assert _elements(usual, "hidden") == {"10.213.0.0/24"}
    assert _elements(usual, "internal") == _elements(usual, "routed") == set()
    routed = _ruleset(_lease(2), segment=msgspec.structs.replace(SEGMENT, nat=False))
    assert _elements(routed, "hidden") == _elements(routed, "hidden6") == set()
    assert _elements(routed, "routed") == {'"ovenb-000000001"'}
    internal = _ruleset(_lease(2), segment=msgspec.structs.replace(SEGMENT, internal=True))
    assert _elements(internal, "hidden") == _elements(internal, "routed") == set()
    assert _elements(internal, "internal") == {'"ovenb-000000001"'}


def test_what_is_empty_has_no_elements() -> None:
    """Older nft refuse `elements = { }`."""
    assert "elements" not in firewall.ruleset(NetworkState(), firewall.FirewallHost())
    assert not re.search(r"elements = {\s*}", _ruleset(_lease(2)))


@pytest.mark.parametrize("loopback6", [True, False])
def test_ruleset_touches_no_other_table(loopback6: bool) -> None:
    state = NetworkState(segments=(SEGMENT,), leases=(_lease(2, "80"),))
    for make in (firewall.ruleset, firewall.first_ruleset):
        text = make(state, firewall.FirewallHost(loopback6=loopback6))
        assert set(re.findall(r"table (\w+ \w+)", text)) == {"inet oven", "bridge oven"}
        assert "flush" not in text
        assert ("::1, fe80" in text) is not loopback6


def test_changes_are_what_the_ruleset_has_more() -> None:
    one, two = _lease(2, "80"), _lease(3, "81", "127.0.0.1:82", "[::1]:83")
    before, after = _ruleset(one), _ruleset(one, two)
    state = NetworkState(segments=(SEGMENT,), leases=(one, two))
    added = firewall.addition((two,), state).splitlines()
    assert len(added) == 8
    for line in added:
        name, inner = re.fullmatch(r"add element \w+ oven (\w+) { (.*) }", line).groups()  # type: ignore[union-attr]
        more = set(inner.split(", "))
        assert _elements(after, name) - _elements(before, name) == more
    gone = firewall.deletion((two,), state).splitlines()
    assert gone == [line.replace("add", "delete", 1) for line in added]
