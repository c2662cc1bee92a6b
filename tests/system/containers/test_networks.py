"""Networks: a person makes one, puts containers on it, looks at it, and removes it."""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.hosts.traces import Traces, left_over
from tests.support.needs import needs
from tests.support.oven import Oven, end, text, wait_for_line
from tests.system.conftest import Built

pytestmark = needs("root", "archive", "program:conmon", "program:runc", "program:dnsmasq")


@pytest.fixture
def bookworm(oven: Oven, built: Built) -> Iterator[Oven]:
    built("debian-bookworm")
    before = Traces.of(oven.home)
    yield oven
    assert left_over(oven.home, before) == {}


@pytest.fixture
def network(bookworm: Oven) -> Iterator[str]:
    name = f"t-{os.getpid()}"
    bookworm("network", "create", name, "--subnet", "10.199.7.0/24")
    yield name
    bookworm("network", "rm", name)
    assert name not in text(bookworm("network", "list").stdout)


def shown(oven: Oven, *words: str) -> dict[str, object]:
    value = oven.json(*words)
    assert isinstance(value, dict)
    return value


def test_day_of_a_network(bookworm: Oven, network: str) -> None:
    one, two = f"t-one-{os.getpid()}", f"t-two-{os.getpid()}"
    wish = f"{network},address=10.199.7.9,rate=50M"
    bookworm("run", "debian-bookworm", "--name", one, "--network", wish)
    bookworm("create", two, "debian-bookworm", "--network", "oven", "--network", network)
    try:
        assert shown(bookworm, "show", one)["address"] == "10.199.7.9"
        bookworm("start", two)
        addresses = shown(bookworm, "show", two)["addresses"]
        assert isinstance(addresses, list)
        assert len(addresses) == 4
        found = bookworm("exec", two, "--", "getent", "ahostsv4", f"{one}.{network}").stdout
        assert text(found).startswith("10.199.7.9 ")
        found = bookworm("exec", one, "--", "getent", "ahostsv6", two).stdout
        assert text(found).split()[0] == addresses[3]

        change = ("set", one, "--network", f"{network},address=10.199.7.9,rate=10M")
        assert "started again" not in bookworm.said(*change)
        members = shown(bookworm, "network", "show", network)["members"]
        assert isinstance(members, list)
        assert {member["container"]: member["rate"] for member in members} == {
            one: 10 << 20,
            two: None,
        }
        assert f"`{two}` is started again" in bookworm.said("set", two, "-p", "18081:80")
        assert isinstance(members, list)
        assert {member["container"]: member["device"] for member in members} == {
            one: "eth0",
            two: "eth1",
        }
        said = bookworm.said("network", "rm", network, code=7)
        assert f"`{one}`" in said
        # One that is stopped needs it as well.
        bookworm("stop", two)
        bookworm("destroy", "--force", one)
        assert f"`{two}`" in bookworm.said("network", "rm", network, code=7)
    finally:
        bookworm("destroy", "--force", two)
    networks = bookworm.json("network", "list")
    assert isinstance(networks, list)
    assert next(one["name"] for one in networks) == "oven"
    assert all(one["bridge"] is None for one in networks)


def test_what_of_the_host_is_reached_is_named(bookworm: Oven, network: str) -> None:
    name = f"t-asks-{os.getpid()}"
    with socket.create_server(("0.0.0.0", 0)) as server:
        port = server.getsockname()[1]
        ask = ("exec", name, "--", "bash", "-c", f"exec 3<>/dev/tcp/10.199.7.1/{port}")
        bookworm("run", "debian-bookworm", "--name", name, "--network", network)
        try:
            assert "refused" in bookworm.said(*ask, code=1)
            assert shown(bookworm, "show", name)["host"] == {network: "none"}
            bookworm("network", "set", network, "--host", f"53/udp+{port}")
            bookworm(*ask)
            assert shown(bookworm, "network", "show", network)["host"] == f"53/udp+{port}"
            assert f"reaches 53/udp+{port} of the host" in text(bookworm("show", name).stdout)
            bookworm("set", name, "--network", f"{network},host=none")
            assert "refused" in bookworm.said(*ask, code=1)
            bookworm("set", name, "--network", f"{network},host=all")
            bookworm(*ask)
        finally:
            bookworm("destroy", "--force", name)
    said = bookworm.said("network", "set", network, "--host", "70000", code=2)
    assert "`70000` does not say what of the host may be reached" in said


def test_members_ask_the_name_servers_that_a_network_is_given(bookworm: Oven, network: str) -> None:
    def told() -> list[str]:
        run = ("run", "debian-bookworm", "--network", network, "--", "cat", "/etc/resolv.conf")
        lines = text(bookworm(*run).stdout).splitlines()
        return [line.split()[1] for line in lines if line.startswith("nameserver")]

    assert told()[0] == "10.199.7.1"
    bookworm("network", "set", network, "--dns", "10.199.7.53", "--dns", "fd00::53")
    assert told() == shown(bookworm, "network", "show", network)["dns"]
    assert told() == ["10.199.7.53", "fd00::53"]
    said = bookworm.said("network", "set", network, "--dns", "ns.example", code=2)
    assert "`ns.example` is not the address of a name server" in said
    assert "say what to change" in bookworm.said("network", "set", network, code=2)
    bookworm("network", "set", network, "--dns", "none")
    assert told()[0] == "10.199.7.1"


def test_command_is_told_the_name_server_of_its_network(bookworm: Oven) -> None:
    script = "cat /etc/resolv.conf; echo up; exec sleep 1000"
    process = bookworm.start("run", "debian-bookworm", "--", "sh", "-c", script)
    said = "".join(wait_for_line(process, "up"))
    # While it runs: later, a subnet that Oven has chosen gives way to what others took.
    bridge = shown(bookworm, "network", "show", "oven")
    end(process, signal.SIGTERM)
    gateway = str(bridge["subnet"]).replace("0/24", "1")
    assert f"nameserver {gateway}\n" in said


def test_what_there_is_not_is_refused(bookworm: Oven, network: str) -> None:
    create = ("create", "t-never", "debian-bookworm")
    assert "there is no network `nowhere`" in bookworm.said(*create, "--network", "nowhere", code=7)
    outside = f"{network},address=10.1.2.3"
    assert "cannot have the address" in bookworm.said(*create, "--network", outside, code=2)
    assert "cannot be removed" in bookworm.said("network", "rm", "oven", code=7)
    assert "no network" in bookworm.said("network", "show", "nowhere", code=7)
    clash = ("network", "create", "t-clash", "--subnet", "10.199.0.0/16")
    assert f"`{network}`" in bookworm.said(*clash, code=7)


def _rules() -> list[str]:
    argv = ["nft", "list", "ruleset"]
    done = subprocess.run(argv, check=True, capture_output=True, text=True)
    return [line.strip() for line in done.stdout.splitlines()]


def _interfaces() -> set[str]:
    return {path.name for path in Path("/sys/class/net").glob("oven*")}


@pytest.mark.alone  # for a moment, the rules of all containers of this machine are gone
def test_rules_come_back_after_a_reload_of_another_firewall(bookworm: Oven) -> None:
    name = f"t-reload-{os.getpid()}"
    others = _interfaces()
    bookworm("run", "debian-bookworm", "--name", name, "-p", "18080:80")
    try:
        before = _rules()
        subprocess.run(["nft", "delete", "table", "inet", "oven"], check=True)
        subprocess.run(["nft", "delete", "table", "bridge", "oven"], check=True)
        bookworm("network", "reload")
        assert sorted(_rules()) == sorted(before)
    finally:
        bookworm("destroy", "--force", name)
    assert _interfaces() == others
