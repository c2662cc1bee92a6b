"""Zones: which names they hold, and how they are written."""

import pytest

from builder.testing.container import Container
from builder.testing.world.names import Names
from builder.testing.world.zone import Zone, quoted, reverse


def test_a_zone_is_written_whole() -> None:
    zone = Zone("example.test").having("example.test", "MX", ["10 mail.example.test"])
    zone = zone.having("mail.example.test", "A", ["10.0.0.5", "10.0.0.5"])
    assert zone.text() == (
        "$ORIGIN .\n"
        "$TTL 1\n"
        "example.test SOA ns.test hostmaster.test 2 3600 600 86400 1\n"
        "example.test NS ns.test\n"
        "example.test MX 10 mail.example.test\n"
        "mail.example.test A 10.0.0.5\n"
    )
    gone = zone.having("mail.example.test", "A", [])
    assert list(gone.kinds("mail.example.test")) == []
    assert gone.serial == 3


def test_what_a_zone_holds() -> None:
    zone = Zone("example.test")
    assert zone.holds("example.test")
    assert zone.holds("a.b.example.test")
    assert not zone.holds("myexample.test")
    assert not zone.holds("test")
    assert Zone(".").holds("example.test")


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ("v=spf1 -all", '"v=spf1 -all"'),
        ('a "b" \\', '"a \\"b\\" \\\\"'),
        ("", '""'),
        ("é\n", '"\\195\\169\\010"'),
        ('"one" "two"', '"one" "two"'),
        ("x" * 300, f'"{"x" * 255}" "{"x" * 45}"'),
    ],
)
def test_text_is_quoted_and_cut(said: str, written: str) -> None:
    assert quoted(said) == written


def test_names_of_addresses() -> None:
    assert reverse("10.0.0.5") == "5.0.0.10.in-addr.arpa"
    assert reverse("fd00::1").startswith("1.0.0.0.")


def test_which_names_are_of_the_world() -> None:
    root = Zone(".").having("www.example.com", "A", ["10.0.0.5"])
    nobody = Container("nobody")
    names = Names(nobody, nobody, _zones={".": root, "test": Zone("test")})
    known = ("a.test", "test.", "www.example.com", "_dmarc.WWW.example.com", "example.com", "com")
    assert [one for one in known if not names.knows(one)] == []
    unknown = ("mail.example.com", "ww.example.com", "attest", "example.org", "xwww.example.com")
    assert [one for one in unknown if names.knows(one)] == []
