"""The world of `oven test`: a small internet, as an appliance and its clients see it."""

import os
import re
from pathlib import Path

import pytest

from tests.support.needs import needs
from tests.support.oven import Oven, text
from tests.system.appliances.conftest import APPLIANCE, write
from tests.system.conftest import Built

pytestmark = needs("root", "archive", "program:runc", "program:conmon", "program:dnsmasq")


@pytest.fixture
def sound(built: Built, disk: Path) -> Path:
    """The folder of an appliance that does next to nothing."""
    built("debian-bookworm")
    folder = disk / f"sound-{os.urandom(3).hex()}" / "notes"
    write(folder, APPLIANCE.replace('"notes"', '"sound"', 1))
    (folder / "tests").mkdir()
    (folder / "tests/answers.toml").write_text('domain = "a.example"\n')
    return folder


def outcome(oven: Oven, folder: Path, tests: str, *words: str, code: int = 0) -> str:
    """Run tests of its own beside that whom it calls; give what is told."""
    (folder / "tests/test_own.py").write_text(tests)
    which = ("-k", "own or nobody_called")
    return text(oven("test", folder, *which, *words, code=code).stdout)


NAMES = '''
import pytest


def ask(client, *words):
    """Give the status, the flags, and all that a resolver says."""
    said = client.exec("dig", "+dnssec", *words)
    status = said.split("status: ")[1].split(",")[0]
    return status, said.split("flags:")[1].split(";")[0].split(), said


def test_own_names(world, client, instance):
    names, addresses = world.names, instance.facts["addresses"]
    names.host("shop.example.test", *addresses)
    status, flags, said = ask(client, "shop.example.test")
    assert (status, "ad" in flags, addresses[0] in said) == ("NOERROR", True, True), said
    for one in addresses:
        status, flags, said = ask(client, "-x", one)
        assert (status, "ad" in flags) == ("NOERROR", True), said
        assert "shop.example.test." in said
    assert instance.exec("getent", "ahosts", "shop.example.test").split()[0] in addresses
    assert client.exec("getent", "hosts", instance.name).split()[0] in addresses

    # A zone of its own takes what is there along; what is not there is validated, too.
    names.delegate("example.test")
    names.add("example.test", "MX", "10 shop.example.test")
    names.add("example.test", "TXT", "v=spf1 mx -all", "x" * 400)
    _, flags, said = ask(client, "example.test", "DS")
    assert ("ad" in flags, "IN\\tDS\\t" in said) == (True, True), said
    assert addresses[0] in ask(client, "shop.example.test")[2]
    assert "10 shop.example.test." in ask(client, "example.test", "MX")[2]
    assert "v=spf1 mx -all" in ask(client, "example.test", "TXT")[2]
    status, flags, _ = ask(client, "no.example.test")
    assert (status, "ad" in flags) == ("NXDOMAIN", True)
    names.remove("shop.example.test", "A")
    assert addresses[0] not in ask(client, "shop.example.test", "A")[2]

    # Signatures that have expired are believed by nobody who looks at them.
    names.spoil("example.test")
    assert ask(client, "example.test", "MX")[0] == "SERVFAIL"
    assert ask(client, "+cd", "example.test", "MX")[0] == "NOERROR"
    names.mend("example.test")
    assert ask(client, "example.test", "MX")[0] == "NOERROR"

    # The root leads elsewhere, too; all that is not below `.test` stands in it.
    names.add("www.example.com", "CNAME", "shop.example.test")
    assert "ad" in ask(client, "www.example.com", "CNAME")[1]
    instance.attempt("getent", "hosts", "www.example.com")
    names.delegate("elsewhere.example", to=["192.0.2.1"])
    _, root = names.roots[0]
    assert "192.0.2.1" in ask(client, "+norecurse", f"@{root}", "a.elsewhere.example")[2]

    # What is no zone changes nothing.
    with pytest.raises(AssertionError, match="could not parse the RR's rdata"):
        names.add("shop.example.test", "A", "no address")
    assert "10 shop.example.test." in ask(client, "example.test", "MX")[2]
'''


@pytest.mark.usefixtures("nothing_left")
def test_names_are_signed_and_changed(oven: Oven, sound: Path) -> None:
    assert re.search(r"^2 ok in", said := outcome(oven, sound, NAMES), re.MULTILINE), said


FAILING = """
def test_own_that_fails(world, instance):
    instance.attempt("getent", "hosts", "shop.nowhere.example")
    assert False, "as it should"
"""


def test_what_the_world_said_is_kept(oven: Oven, sound: Path) -> None:
    said = outcome(oven, sound, FAILING, "--keep", code=1)
    assert "it asks for shop.nowhere.example" in said  # which the world does not know either
    try:
        logs = Path(re.findall(r"said is in (.*)", said)[0]) / "test_own_that_fails"
        journals = {path.stem.split("-")[1]: path.read_text() for path in logs.glob("*.journal")}
        assert "shop.nowhere.example. A IN" in journals["world"]
        assert "knotd" in journals["names"]
    finally:
        oven(*re.findall(r"`oven (destroy [^&]*?) &&", said)[0].split())
        oven(*re.findall(r"oven (network rm \S+)`", said)[0].split())
