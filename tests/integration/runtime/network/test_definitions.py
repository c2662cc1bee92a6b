"""Networks as they are kept: made, chosen, refused, and out of the host's way."""

from pathlib import Path

import pytest

from builder.host.places import Places
from builder.model.errors import ConflictError, HostError, NotFoundError, RecipeError
from builder.model.network import DEFAULT, Network
from builder.runtime.network import definitions
from tests.support.hosts.networks import OUTSIDE, Rig
from tests.support.needs import needs

pytestmark = needs("root", "program:ip", "program:nft", "program:nsenter")

AUTO = definitions.CHOOSE


@pytest.fixture
def places(rig: Rig, tmp_path: Path) -> Places:
    """Give a home on the rig's host, which is the one that is asked for routes."""
    assert rig.leases() == ()
    return Places(data=tmp_path, cache=tmp_path / "cache", runtime=tmp_path / "run", settings=())


def test_default_network_is_there_by_itself_and_stays_the_same(places: Places) -> None:
    first = definitions.find(places, DEFAULT)
    assert first.subnet == "10.213.0.0/24"
    assert str(first.subnet6).startswith("fd")
    assert definitions.find(places, DEFAULT) == first
    assert definitions.names(places) == (DEFAULT,)


def test_created_network_is_kept(places: Places) -> None:
    made = definitions.create(places, Network(name="web", subnet=AUTO, subnet6=AUTO))
    assert made == definitions.find(places, "web")
    assert (made.subnet, made.chosen, made.chosen6) == ("10.213.0.0/24", True, True)
    assert definitions.find(places, DEFAULT).subnet == "10.214.0.0/24"
    asked = Network(name="six", subnet6="fd00:1::/64")
    assert definitions.create(places, asked) == asked
    assert definitions.names(places) == (DEFAULT, "six", "web")
    definitions.remove(places, "web")
    with pytest.raises(NotFoundError, match="there is no network `web`"):
        definitions.find(places, "web")
    with pytest.raises(NotFoundError):
        definitions.remove(places, "web")


@pytest.mark.parametrize("name", ["", "A", "a.b", "-a", "none", "a" * 33, "../x"])
def test_names_that_no_network_has(places: Places, name: str) -> None:
    with pytest.raises(RecipeError, match="cannot name a network"):
        definitions.create(places, Network(name=name, subnet=AUTO))
    with pytest.raises(NotFoundError):
        definitions.find(places, name)


@pytest.mark.parametrize(
    ("subnet", "subnet6"),
    [
        ("10.1.2.3/24", None), ("10.0.0.0/30", None), ("127.0.0.0/8", None), ("fd00::/64", None),
        (None, "10.0.0.0/24"), (None, "fe80::/64"), (None, "ff00::/64"), (None, "x"), (None, None),
    ],
)  # fmt: skip
def test_subnets_that_suit_no_containers(
    places: Places, subnet: str | None, subnet6: str | None
) -> None:
    with pytest.raises(RecipeError):
        definitions.create(places, Network(name="web", subnet=subnet, subnet6=subnet6))


def test_name_servers_that_members_are_told_of_are_kept(places: Places) -> None:
    servers = ("10.86.0.53", "fd00::53")
    definitions.create(places, Network(name="web", subnet=AUTO, dns=servers))
    assert definitions.find(places, "web").dns == servers
    definitions.direct(places, DEFAULT, servers[:1])
    definitions.admit(places, DEFAULT, "all")
    assert definitions.find(places, DEFAULT).dns == servers[:1]
    definitions.direct(places, "web", ())
    assert definitions.find(places, "web").dns == ()
    for wrong in (("ns.example",), ("10.0.0.1/8",), ("10.0.0.1",) * 4):
        with pytest.raises(RecipeError):
            definitions.direct(places, "web", wrong)
        with pytest.raises(RecipeError):
            definitions.create(places, Network(name="other", subnet=AUTO, dns=wrong))
    with pytest.raises(NotFoundError):
        definitions.direct(places, "nobody", servers)


def test_name_or_subnet_that_somebody_has(places: Places) -> None:
    definitions.create(places, Network(name="web", subnet="10.86.0.0/16"))
    for taken in (
        Network(name="web", subnet=AUTO),
        Network(name=DEFAULT, subnet=AUTO),
        Network(name="other", subnet="10.86.5.0/24"),
        Network(name="other", subnet="198.51.100.0/25"),
    ):
        with pytest.raises(ConflictError):
            definitions.create(places, taken)


def test_chosen_network_avoids_what_the_host_routes(rig: Rig, places: Places) -> None:
    rig.host.run("ip", "route", "add", "10.213.0.0/16", "via", OUTSIDE)
    rig.host.run("ip", "route", "add", "10.214.0.0/30", "dev", "lan0", "table", "7")
    try:
        assert definitions.find(places, DEFAULT).subnet == "10.215.0.0/24"
    finally:
        rig.host.run("ip", "route", "del", "10.213.0.0/16")
        rig.host.run("ip", "route", "flush", "table", "7")


def test_chosen_network_gives_way_to_what_the_host_joins_later(rig: Rig, places: Places) -> None:
    before = definitions.ready(places, DEFAULT)
    rig.host.run("ip", "route", "add", "10.213.0.0/25", "dev", "lan0")
    try:
        moved = definitions.ready(places, DEFAULT)
        assert moved.subnet == "10.214.0.0/24"
        assert moved.subnet6 == before.subnet6
        assert definitions.find(places, DEFAULT) == moved
    finally:
        rig.host.run("ip", "route", "del", "10.213.0.0/25")


def test_settings_choose_the_default_network(places: Places, tmp_path: Path) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text('[network]\nsubnet = "10.86.0.0/24"\n')
    chosen = Places(places.data, places.cache, places.runtime, (settings,))
    first = definitions.find(places, DEFAULT)
    assert definitions.find(chosen, DEFAULT).subnet == "10.86.0.0/24"
    assert not definitions.find(chosen, DEFAULT).chosen
    settings.unlink()
    back = definitions.find(chosen, DEFAULT)
    assert (back.subnet, back.chosen, back.subnet6) == (first.subnet, True, first.subnet6)


def test_damaged_record_is_told(places: Places) -> None:
    definitions.create(places, Network(name="web", subnet=AUTO))
    path = places.data / "networks/web.json"
    path.write_text("{")
    with pytest.raises(HostError, match="record of network `web` is damaged"):
        definitions.find(places, "web")


def test_networks_of_equal_name_in_two_homes(rig: Rig, tmp_path: Path) -> None:
    """Each home has its own; their subnets and bridges differ, and nobody reaches the other."""
    from builder.runtime.network.growth import BridgeSpec

    reached = []
    for home in ("one", "two"):
        data = tmp_path / home
        places = Places(data=data, cache=data, runtime=data, settings=())
        network = definitions.ready(places, DEFAULT)
        guest = rig.container()
        (lease,) = rig.connect(
            guest, home, BridgeSpec(definitions.key_of(places, DEFAULT), network)
        )
        guest.serve(home, 80)
        reached.append((guest, lease))
    (one, first), (_, second) = reached
    assert first.segment != second.segment
    assert second.address
    assert one.ask("tcp", second.address, 80, timeout=0.5) == "TimeoutError"
