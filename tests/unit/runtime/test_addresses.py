"""Which names and addresses containers get, and which name servers they are told."""

from ipaddress import IPv6Address, IPv6Network
from pathlib import Path

import pytest

from builder.model.errors import ConflictError, HostError, RecipeError
from builder.runtime.network import addresses, resolvers


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
