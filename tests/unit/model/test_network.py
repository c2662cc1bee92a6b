"""What `-p` means, and which of two published ports stand in the way of each other."""

import pytest

from builder.model.errors import RecipeError
from builder.model.network import PortMapping, parse_ports


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("80", PortMapping(host=80, port=80)),
        ("80/udp", PortMapping(host=80, port=80, protocol="udp")),
        ("8080:80", PortMapping(host=8080, port=80)),
        ("8080:80/tcp", PortMapping(host=8080, port=80)),
        ("127.0.0.1:8080:80", PortMapping(host=8080, port=80, address="127.0.0.1")),
        ("127.0.0.1:53/udp", PortMapping(host=53, port=53, protocol="udp", address="127.0.0.1")),
        ("0.0.0.0:1:65535", PortMapping(host=1, port=65535, address="0.0.0.0")),
        ("[::1]:8080:80", PortMapping(host=8080, port=80, address="::1")),
        (
            "[2001:DB8:0::1]:80/udp",
            PortMapping(host=80, port=80, protocol="udp", address="2001:db8::1"),
        ),
    ],
)
def test_published_ports_are_read(text: str, expected: PortMapping) -> None:
    assert parse_ports(text) == (expected,)


def test_ranges_of_ports_are_read() -> None:
    assert [str(one) for one in parse_ports("8000-8002:80-82/udp")] == [
        "8000:80/udp",
        "8001:81/udp",
        "8002:82/udp",
    ]
    assert [str(one) for one in parse_ports("[::]:80-81")] == ["[::]:80:80", "[::]:81:81"]


@pytest.mark.parametrize(
    "text",
    [
        "", "http", "0", "65536", "80:0", "80:65536", "8080:80/sctp", "8080:80/", ":80", "80:",
        "a:80:80", "256.0.0.1:80:80", "1.2.3:80:80", "[::g]:80:80", "[1.2.3.4]:80:80",
        "::1:80:80", "80-70", "80-90:80", "80-90:80-91",
        "1-2000", "0-5", "65530-65540", "[fe80::1%eth0]:80:80", "[::1]80", "80:80:80",
        " 80", "80\n", "٨٠", "-80", "8e1", "1.2.3.4:80:80:80", "999999",
    ],
)  # fmt: skip
def test_what_publishes_no_port_is_refused(text: str) -> None:
    with pytest.raises(RecipeError, match="does not publish a port"):
        parse_ports(text)


@pytest.mark.parametrize("text", ["8080:80", "8080:80/udp", "127.0.0.1:8080:80/udp", "[::1]:80:81"])
def test_mapping_is_written_as_it_is_read(text: str) -> None:
    assert str(parse_ports(text)[0]) == text


@pytest.mark.parametrize(
    ("one", "other", "collide"),
    [
        ("80", "80:81", True),
        ("80", "81:80", False),
        ("80", "80/udp", False),
        ("80", "127.0.0.1:80", True),
        ("127.0.0.1:80", "127.0.0.1:80:90", True),
        ("127.0.0.1:80", "127.0.0.2:80", False),
        ("80", "[::1]:80", True),
        ("0.0.0.0:80", "[::]:80", False),
        ("0.0.0.0:80", "127.0.0.1:80", True),
        ("[::]:80", "[::1]:80", True),
        ("[::1]:80", "127.0.0.1:80", False),
    ],
)
def test_collisions_of_ports(one: str, other: str, collide: bool) -> None:
    (first,), (second,) = parse_ports(one), parse_ports(other)
    assert first.collides(second) is collide
    assert second.collides(first) is collide
