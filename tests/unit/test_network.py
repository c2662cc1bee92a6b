"""What `-p` means, which addresses containers get, and which name servers they are told."""

from pathlib import Path

import pytest

from builder.model.errors import HostError, RecipeError
from builder.model.network import PortMapping, parse_port
from builder.runtime import addresses
from builder.runtime.network import resolvers


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("80", PortMapping(host=80, port=80)),
        ("80/udp", PortMapping(host=80, port=80, protocol="udp")),
        ("8080:80", PortMapping(host=8080, port=80)),
        ("8080:80/tcp", PortMapping(host=8080, port=80)),
        ("127.0.0.1:8080:80", PortMapping(host=8080, port=80, address="127.0.0.1")),
        ("127.0.0.1:53/udp", PortMapping(host=53, port=53, protocol="udp", address="127.0.0.1")),
        ("0.0.0.0:1:65535", PortMapping(host=1, port=65535)),
    ],
)
def test_published_ports_are_read(text: str, expected: PortMapping) -> None:
    assert parse_port(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "", "http", "0", "65536", "80:0", "80:65536", "8080:80/sctp", "8080:80/", ":80", "80:",
        "a:80:80", "256.0.0.1:80:80", "1.2.3:80:80", "[::1]:80:80", "::1:80:80", "80:80:80",
        " 80", "80\n", "٨٠", "-80", "8e1", "1.2.3.4:80:80:80", "999999",
    ],
)  # fmt: skip
def test_what_publishes_no_port_is_refused(text: str) -> None:
    with pytest.raises(RecipeError, match="does not publish a port"):
        parse_port(text)


@pytest.mark.parametrize("text", ["8080:80", "8080:80/udp", "127.0.0.1:8080:80/udp"])
def test_mapping_is_written_as_it_is_read(text: str) -> None:
    assert str(parse_port(text)) == text


@pytest.mark.parametrize(
    ("one", "other", "collide"),
    [
        ("80", "80:81", True),
        ("80", "81:80", False),
        ("80", "80/udp", False),
        ("80", "127.0.0.1:80", True),
        ("127.0.0.1:80", "127.0.0.1:80:90", True),
        ("127.0.0.1:80", "127.0.0.2:80", False),
    ],
)
def test_collisions_of_ports(one: str, other: str, collide: bool) -> None:
    assert parse_port(one).collides(parse_port(other)) is collide
    assert parse_port(other).collides(parse_port(one)) is collide


def test_names_of_a_container_fit_and_stay() -> None:
    cables = {addresses.cable_of(f"/some/where/{n}") for n in range(1000)}
    macs = {addresses.mac_of(f"/some/where/{n}") for n in range(1000)}
    assert (len(cables), len(macs)) == (1000, 1000)
    assert {len(cable) for cable in cables} == {15}  # IFNAMSIZ is 16, with the null byte
    assert {mac.split(":")[0] for mac in macs} == {"02"}  # locally administered, not multicast
    assert addresses.cable_of("a") == addresses.cable_of("a")


def test_free_subnet_overlaps_nothing() -> None:
    assert addresses.free_subnet([]) == "10.213.0.0/24"
    assert addresses.free_subnet(["10.213.0.128/25", "10.214.0.9"]) == "10.215.0.0/24"
    assert addresses.free_subnet(["10.208.0.0/12"]) == "10.224.0.0/24"
    with pytest.raises(HostError, match="collides with a route"):
        addresses.free_subnet(["10.0.0.0/8"])


def test_every_address_is_leased_once() -> None:
    taken: set[str] = set()
    for number in range(253):
        place = addresses.place_in("10.213.0.0/24", taken, f"key {number}", None)
        assert place.address not in taken
        taken.add(place.address)
    assert taken == {f"10.213.0.{n}" for n in range(2, 255)}
    with pytest.raises(HostError, match="all 253 addresses"):
        addresses.place_in("10.213.0.0/24", taken, "one more", None)


@pytest.mark.parametrize(
    "unsuitable",
    ["10.213.0.0", "10.213.0.1", "10.213.0.255", "10.214.0.5", "10.213.0.9", "nonsense", "::1"],
)
def test_preferred_address_must_suit(unsuitable: str) -> None:
    place = addresses.place_in("10.213.0.0/24", {"10.213.0.9"}, "key", unsuitable)
    assert place == addresses.place_in("10.213.0.0/24", {"10.213.0.9"}, "key", None)
    assert addresses.place_in("10.213.0.0/24", set(), "key", "10.213.0.9").address == "10.213.0.9"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, ()),
        ({"etc/resolv.conf": "search x\nnameserver 192.0.2.1\nnameserver\t192.0.2.2\n"},
         ("192.0.2.1", "192.0.2.2")),
        ({"etc/resolv.conf": "# nameserver 192.0.2.1\nnameserver ::1\nnameserver fe80::1%eth0\n"},
         ()),
        ({"etc/resolv.conf": "nameserver 127.0.0.53\n",
          "run/systemd/resolve/resolv.conf": "nameserver 192.0.2.3\nnameserver 192.0.2.3\n"},
         ("192.0.2.3",)),
        ({"etc/resolv.conf": "nameserver 127.0.0.1\n",
          "run/NetworkManager/no-stub-resolv.conf": "nameserver 192.0.2.4"}, ("192.0.2.4",)),
        ({"etc/resolv.conf": "nameserver 127.0.0.1\nnameserver 192.0.2.5\n",
          "run/systemd/resolve/resolv.conf": "nameserver 192.0.2.3\n"}, ("192.0.2.5",)),
        ({"etc/resolv.conf": "nameserver\n\xff\n"}, ()),
    ],
)  # fmt: skip
def test_resolvers(tmp_path: Path, files: dict[str, str], expected: tuple[str, ...]) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(text.encode("latin-1"))
    assert resolvers(tmp_path) == expected
