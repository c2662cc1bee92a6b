"""What `-p` means, which addresses containers get, and which name servers they are told."""

from ipaddress import IPv6Address, IPv6Network
from pathlib import Path

import pytest

from builder.cli.containers.options import network as options
from builder.model.errors import ConflictError, HostError, RecipeError
from builder.model.network import PortMapping, parse_ports
from builder.model.value import Digest
from builder.runtime.network import addresses, definitions, resolvers
from builder.runtime.record.container import Container, Interface


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


def test_names_of_interfaces_fit_and_stay() -> None:
    keys = [f"/some/where/{number}" for number in range(1000)]
    for name_of in (addresses.cable_of, addresses.bridge_of, addresses.meter_of):
        names = {name_of(key) for key in keys}
        assert len(names) == 1000
        assert {len(name) for name in names} == {15}  # IFNAMSIZ is 16, with the null byte
        assert all(name.startswith("oven") for name in names), "for the rules of other firewalls"
        assert name_of("a") == name_of("a")
    assert not any(name.startswith(addresses.CABLES) for name in map(addresses.bridge_of, keys))
    macs = {addresses.mac_of(key) for key in keys}
    assert len(macs) == 1000
    assert {mac.split(":")[0] for mac in macs} == {"02"}  # locally administered, not multicast


def test_link_local_address_is_that_of_the_kernel() -> None:
    """The example of RFC 2464, 4."""
    assert addresses.link_local_of("34:56:78:9a:bc:de") == "fe80::3656:78ff:fe9a:bcde"


def test_free_subnet_overlaps_nothing() -> None:
    assert addresses.free_subnet([]) == "10.213.0.0/24"
    assert addresses.free_subnet(["10.213.0.128/25", "10.214.0.9"]) == "10.215.0.0/24"
    assert addresses.free_subnet(["10.208.0.0/12"]) == "10.224.0.0/24"
    with pytest.raises(HostError, match="collides with a route"):
        addresses.free_subnet(["10.0.0.0/8"])


def test_new_ipv6_subnets_are_local_and_differ() -> None:
    found = {addresses.new_subnet6() for _ in range(100)}
    assert len(found) == 100
    for subnet in found:
        network = IPv6Network(subnet)
        assert network.prefixlen == 64
        assert network.subnet_of(IPv6Network("fd00::/8"))


def test_overlaps_compares_each_version_of_ip_with_itself() -> None:
    others = ("fd00::/64", "10.1.0.0/16", "192.0.2.7")
    assert addresses.overlaps("10.1.2.0/24", others) == "10.1.0.0/16"
    assert addresses.overlaps("192.0.2.0/24", others) == "192.0.2.7"
    assert addresses.overlaps("fd00::/48", others) == "fd00::/64"
    assert addresses.overlaps("10.2.0.0/16", others) is None


@pytest.mark.parametrize("subnet", ["10.213.0.0/24", "fd00::/120"])
def test_every_address_is_leased_once(subnet: str) -> None:
    taken: set[str] = set()
    count = 253 if "." in subnet else 128
    for number in range(count):
        address = addresses.address_in(subnet, taken, f"key {number}", None)
        assert address not in taken
        taken.add(address)
    with pytest.raises(HostError, match="in use"):
        addresses.address_in(subnet, taken, "one more", None)


def test_low_addresses_are_left_to_those_who_choose_one() -> None:
    lots = {addresses.address_in("10.213.0.0/24", set(), f"key {n}", None) for n in range(500)}
    assert min(int(address.split(".")[3]) for address in lots) >= 65
    six = addresses.address_in("fd00::/64", set(), "key", None)
    assert int(IPv6Address(six)) - int(IPv6Address("fd00::")) >= 1 << 31


def test_same_key_gets_the_same_address() -> None:
    for subnet in ("10.213.0.0/24", "fd00::/64"):
        first = addresses.address_in(subnet, set(), "key", None)
        assert addresses.address_in(subnet, set(), "key", None) == first
        assert addresses.address_in(subnet, {first}, "key", None) != first


@pytest.mark.parametrize(
    ("subnet", "asked"),
    [
        ("10.213.0.0/24", "10.213.0.0"), ("10.213.0.0/24", "10.213.0.1"),
        ("10.213.0.0/24", "10.213.0.255"), ("10.213.0.0/24", "10.214.0.5"),
        ("10.213.0.0/24", "nonsense"), ("10.213.0.0/24", "fd00::5"), ("fd00::/64", "fd00::"),
        ("fd00::/64", "fd00::1"), ("fd00::/64", "fd01::5"), ("fd00::/64", "10.213.0.5"),
    ],
)  # fmt: skip
def test_address_that_no_container_can_have(subnet: str, asked: str) -> None:
    with pytest.raises(RecipeError, match="address"):
        addresses.address_in(subnet, set(), "key", asked)


def test_address_that_was_asked_for_is_given_or_refused() -> None:
    assert addresses.address_in("10.213.0.0/24", set(), "key", "10.213.0.9") == "10.213.0.9"
    with pytest.raises(ConflictError, match=r"10\.213\.0\.9 is in use"):
        addresses.address_in("10.213.0.0/24", {"10.213.0.9"}, "key", "10.213.0.9")


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


NEW = Container(
    name="web", template=Digest("sha256:" + "ab" * 32), template_name="web", uuid="0" * 32,
    first_id=1, created=1, hostname="web", interfaces=(Interface(network="oven"),),
)  # fmt: skip


def _described(*networks: str, publish: tuple[str, ...] = (), of: Container = NEW) -> Container:
    return options.describe(of, {"networks": networks, "publish": publish})


def test_options_describe_interfaces_and_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(definitions, "check_addresses", lambda *_: None)
    found = _described("oven,rate=10M", "web,address=10.1.0.5,address6=fd00::5", publish=("80",))
    assert found.interfaces == (
        Interface(network="oven", rate=10 << 20),
        Interface(network="web", address="10.1.0.5", address6="fd00::5"),
    )
    assert found.ports == (PortMapping(host=80, port=80),)
    # What is not given stays, and `none` takes it away.
    assert _described(of=found) == found
    assert _described(publish=("none",), of=found).ports == ()
    assert _described("none", publish=("none",), of=found).interfaces == ()


@pytest.mark.parametrize(
    "networks",
    [
        ("none", "oven"), ("oven", "oven"), ("oven,speed=5",), ("oven,address",), (",rate=1M",),
        ("",), ("oven,rate=1M,rate=2M",), ("oven,rate=",),
    ],
)  # fmt: skip
def test_options_that_name_no_network(networks: tuple[str, ...]) -> None:
    with pytest.raises(RecipeError):
        _described(*networks)


def test_container_without_a_network_publishes_nothing() -> None:
    with pytest.raises(RecipeError, match="cannot publish ports"):
        _described("none", publish=("80",))
