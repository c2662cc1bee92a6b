"""The text of the firewall's rules; what they do is tested with real packets."""

import re

from builder.model.network import Lease, parse_port
from builder.runtime import firewall


def _lease(number: int, *ports: str) -> Lease:
    return Lease(
        key=f"key {number}",
        name=f"name {number}",
        address=f"10.213.0.{number}",
        prefix=24,
        gateway="10.213.0.1",
        mac=f"02:00:00:00:00:{number:02x}",
        interface=f"oven-{number:010}",
        ports=tuple(map(parse_port, ports)),
        pid=1,
        started=1,
        boot="now",
    )


def test_ruleset_has_every_guest_and_port_once() -> None:
    leases = (_lease(2, "8080:80", "127.0.0.1:53:5353/udp"), _lease(3), _lease(4, "81"))
    text = firewall.ruleset("10.213.0.0/24", leases)
    for element in (
        '"oven-0000000002" . 02:00:00:00:00:02 . 10.213.0.2',
        '"oven-0000000003" . 02:00:00:00:00:03 . 10.213.0.3',
        "tcp . 8080 : 10.213.0.2 . 80, tcp . 81 : 10.213.0.4 . 81",
        "udp . 127.0.0.1 . 53 : 10.213.0.2 . 5353",
    ):
        assert text.count(element) == 1
    assert "name 2" not in text, "nothing that a person chose gets into the rules"


def test_ruleset_without_ports_has_no_empty_elements() -> None:
    """Older nft refuse `elements = { }`."""
    text = firewall.ruleset("10.213.0.0/24", (_lease(2),))
    assert text.count("elements") == 1


def test_ruleset_touches_no_other_table() -> None:
    text = firewall.ruleset("10.213.0.0/24", (_lease(2, "80"),))
    named = re.findall(r"table (\w+ \w+)", text)
    assert set(named) == {"inet oven", "bridge oven"}
    assert "flush" not in text


def test_addition_is_what_the_ruleset_has_more() -> None:
    one, two = _lease(2, "80"), _lease(3, "81", "127.0.0.1:82")
    lines = firewall.addition(two).splitlines()
    assert len(lines) == 3
    before = firewall.ruleset("10.213.0.0/24", (one,))
    after = firewall.ruleset("10.213.0.0/24", (one, two))
    for line in lines:
        element = line.partition("{ ")[2].partition(" }")[0]
        assert element in after
        assert element not in before
