"""Published ports: reached from everywhere that they should be, refused where somebody has them."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from builder.model.errors import ConflictError, HostError
from builder.model.network import PortMapping
from tests.support.hosts.networks import (
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
)
from tests.support.needs import needs

pytestmark = needs("root", "program:ip", "program:nft", "program:nsenter", "program:ss")


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_published_port_is_reached_from_everywhere(rig: Rig, protocol: str) -> None:
    web, lease = rig.attach("web", f"8080:80/{protocol}")
    web.serve("web", 80)
    other, its = rig.attach("other")
    assert rig.outside.ask(protocol, HOST, 8080) == f"web {OUTSIDE}"
    assert rig.host.ask(protocol, "127.0.0.1", 8080) == f"web {GATEWAY}"
    for address in (HOST, GATEWAY):
        assert rig.host.ask(protocol, address, 8080).startswith("web ")
        assert other.ask(protocol, address, 8080).startswith("web ")
        assert web.ask(protocol, address, 8080).startswith("web "), "from the publisher itself"
    assert its.address != lease.address


@pytest.fixture
def unfiltered() -> Iterator[Path]:
    """Have no rules see what passes bridges, as on a host without Docker."""
    setting = Path("/proc/sys/net/bridge/bridge-nf-call-ip6tables")
    if not setting.exists():
        yield setting
        return
    before = setting.read_text(encoding="ascii")
    setting.write_text("0", encoding="ascii")
    yield setting
    setting.write_text(before, encoding="ascii")


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
@pytest.mark.usefixtures("unfiltered")
def test_published_port_is_reached_over_ipv6(rig: Rig, protocol: str) -> None:
    web, _ = rig.attach("web", f"8080:80/{protocol}")
    web.serve("web", 80, address="::")
    other, _ = rig.attach("other")
    assert rig.outside.ask(protocol, HOST6, 8080) == f"web {OUTSIDE6}"
    assert rig.host.ask(protocol, "::1", 8080) == f"web {GATEWAY6}"
    for address in (HOST6, GATEWAY6):
        assert rig.host.ask(protocol, address, 8080).startswith("web ")
        assert other.ask(protocol, address, 8080).startswith("web ")
        assert web.ask(protocol, address, 8080).startswith("web "), "from the publisher itself"


@pytest.mark.usefixtures("unfiltered")
def test_port_of_one_ipv6_address_is_published_there_only(rig: Rig) -> None:
    web, _ = rig.attach("web", "[::1]:8080:80", f"[{HOST6}]:8081:80", "[::]:8082:80")
    web.serve("web", 80, address="::")
    web.serve("web", 80)
    assert rig.host.ask("tcp", "::1", 8080).startswith("web ")
    assert rig.host.ask("tcp", HOST6, 8080) == REFUSED
    assert rig.outside.ask("tcp", HOST6, 8080) == REFUSED
    assert rig.outside.ask("tcp", HOST6, 8081) == f"web {OUTSIDE6}"
    assert rig.host.ask("tcp", "::1", 8081) == REFUSED
    for asker in (rig.outside, rig.host):
        assert asker.ask("tcp", HOST6, 8082).startswith("web ")
        assert asker.ask("tcp", HOST, 8082) == REFUSED


def test_host_that_cannot_be_answered_by_the_ipv6_loopback(rig: Rig, unfiltered: Path) -> None:
    """It is told so, or refused at once, so that a program goes on to try 127.0.0.1."""
    if not unfiltered.exists():
        pytest.skip("this kernel has no br_netfilter")
    unfiltered.write_text("1", encoding="ascii")
    with pytest.raises(HostError, match="cannot reach containers by `::1`"):
        rig.attach("web", "[::1]:8080:80")
    web, _ = rig.attach("web", "8080:80")
    web.serve("web", 80, address="::")
    assert rig.host.ask("tcp", "::1", 8080) == REFUSED
    for asker in (rig.outside, rig.host, web):
        assert asker.ask("tcp", HOST6, 8080).startswith("web ")


def test_range_of_ports(rig: Rig) -> None:
    web, _ = rig.attach("web", "8000-8002:80-82")
    web.serve("web", 80, 82)
    assert rig.outside.ask("tcp", HOST, 8000) == f"web {OUTSIDE}"
    assert rig.outside.ask("tcp", HOST, 8002) == f"web {OUTSIDE}"


def test_port_of_an_address_that_the_container_cannot_have(rig: Rig) -> None:
    rig.network = msgspec.structs.replace(OVEN, subnet6=None)
    with pytest.raises(HostError, match="cannot lead to container `web`, which has no IPv6"):
        rig.attach("web", "[::1]:8080:80")


def test_container_publishes_for_members_of_other_networks(rig: Rig) -> None:
    web, _ = rig.attach("web", "8080:80")
    web.serve("web", 80)
    other, _ = rig.on("other", WEB)
    assert other.ask("tcp", HOST, 8080).startswith("web ")


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_published_port_without_bridge_netfilter(rig: Rig, protocol: str) -> None:
    """What a bridge does with packets differs by whether br_netfilter is loaded."""
    setting = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
    if not setting.exists():
        pytest.skip("this kernel has no br_netfilter, so the other tests are this one")
    before = setting.read_text(encoding="ascii")
    web, lease = rig.attach("web", f"8080:80/{protocol}")
    web.serve("web", 80)
    other, _ = rig.attach("other")
    for value in ("0", "1"):
        setting.write_text(value, encoding="ascii")
        for asker in (rig.outside, rig.host, other, web):
            assert asker.ask(protocol, HOST, 8080).startswith("web "), value
        assert other.ask(protocol, str(lease.address), 80).startswith("web "), value
    setting.write_text(before, encoding="ascii")


def test_port_of_one_address_is_published_there_only(rig: Rig) -> None:
    web, _ = rig.attach("web", "127.0.0.1:8080:80", f"{HOST}:8081:80")
    web.serve("web", 80)
    assert rig.host.ask("tcp", "127.0.0.1", 8080).startswith("web ")
    assert rig.host.ask("tcp", HOST, 8080) == REFUSED
    assert rig.outside.ask("tcp", HOST, 8080) == REFUSED
    assert rig.outside.ask("tcp", HOST, 8081) == f"web {OUTSIDE}"
    assert rig.host.ask("tcp", "127.0.0.1", 8081) == REFUSED


def test_two_containers_publish_one_number_on_two_addresses(rig: Rig) -> None:
    one, _ = rig.attach("one", "127.0.0.1:8080:80")
    two, _ = rig.attach("two", f"{HOST}:8080:80")
    three, _ = rig.attach("three", "8080:80/udp")
    for number, container in (("one", one), ("two", two), ("three", three)):
        container.serve(number, 80)
    assert rig.host.ask("tcp", "127.0.0.1", 8080).startswith("one ")
    assert rig.outside.ask("tcp", HOST, 8080).startswith("two ")
    assert rig.outside.ask("udp", HOST, 8080).startswith("three ")


def test_port_of_a_program_is_refused_with_its_name(rig: Rig) -> None:
    rig.host.serve("server", 7004)
    with pytest.raises(
        ConflictError, match=r"port 7004/tcp .* by `python\S*` \(pid \d+\)"
    ) as caught:
        rig.attach("web", "7004:80")
    assert caught.value.hint == "publish another one, such as `-p 17004:80`"
    with pytest.raises(ConflictError, match="7004/udp"):
        rig.attach("web", "7004:80/udp")
    rig.host.serve("server", 7005, address="::")
    with pytest.raises(ConflictError, match="port 7005/tcp"):
        rig.attach("web", "7005:80")
    rig.assert_clean()


def test_port_of_a_container_is_refused_with_its_name(rig: Rig) -> None:
    rig.attach("first", "8080:80")
    for port in ("8080:81", "127.0.0.1:8080:80", "[::1]:8080:80"):
        with pytest.raises(ConflictError, match="in use by container `first`"):
            rig.attach("second", port)
    assert [lease.name for lease in rig.leases()] == ["first"]


def test_address_that_the_host_lacks_is_refused(rig: Rig) -> None:
    with pytest.raises(HostError, match=r"cannot publish port 80 on `192\.0\.2\.77`"):
        rig.attach("web", "192.0.2.77:80:80")


def test_port_mappings_are_kept_in_the_lease(rig: Rig) -> None:
    rig.attach("web", "8080:80")
    mapping = PortMapping(host=8080, port=80)
    assert [lease.ports for lease in rig.leases()] == [(mapping,)]
