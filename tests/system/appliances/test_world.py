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


@pytest.mark.slow
@pytest.mark.usefixtures("nothing_left")
def test_names_are_signed_and_changed(oven: Oven, sound: Path) -> None:
    assert re.search(r"^2 ok in", said := outcome(oven, sound, NAMES), re.MULTILINE), said


CERTIFICATES = """
def test_own_certificates(world, client):
    acme, name = world.acme, "shop.example.test"
    world.names.host(name, *client.facts["addresses"])
    client.exec("sh", "-c", "cat >/etc/world.pem", stdin=acme.ca.encode())
    served = "/srv/www/.well-known/acme-challenge"
    client.exec("mkdir", "-p", served)
    client.exec("busybox", "httpd", "-p", "80", "-h", "/srv/www")

    def issued(directory):
        folder = f"/etc/issued-{directory.count(':')}"
        config = f"CA={directory}\\nWELLKNOWN={served}\\nBASEDIR={folder}\\n"
        config += "KEY_ALGO=prime256v1\\nACCOUNT_KEYSIZE=2048\\n"
        client.exec("mkdir", folder)
        client.exec("sh", "-c", f"cat >{folder}/config", stdin=config.encode())
        ask = ("env", "CURL_CA_BUNDLE=/etc/world.pem", "dehydrated", "--config", f"{folder}/config")
        client.exec(*ask, "--register", "--accept-terms")
        client.exec(*ask, "--cron", "--domain", name)
        made = f"{folder}/certs/{name}"
        client.exec("openssl", "verify", "-CAfile", "/etc/world.pem",
                    "-untrusted", f"{made}/chain.pem", "-verify_hostname", name, f"{made}/cert.pem")

        def good_for(days):
            words = ("openssl", "x509", "-noout", "-in", f"{made}/cert.pem", "-checkend")
            return client.attempt(*words, str(days * 86400)).code == 0

        return good_for, (*ask, "--cron", "--domain", name), f"{made}/cert.pem"

    good_for, again, _ = issued(acme.directory)
    assert (good_for(89), good_for(91)) == (True, False)
    assert "Skipping renew" in client.exec(*again)

    # What is good for an hour is renewed whenever somebody looks.
    good_for, again, cert = issued(acme.short)
    assert (good_for(0), good_for(1)) == (True, False)
    before = client.exec("cat", cert)
    assert "Renewing!" in client.exec(*again)
    assert client.exec("cat", cert) != before

    # Whoever asks for what leads elsewhere gets none.
    world.names.host(name, "192.0.2.1")
    assert client.attempt(*again).code != 0
"""


@pytest.mark.slow
def test_certificates_are_issued_and_renewed(oven: Oven, sound: Path) -> None:
    said = outcome(oven, sound, CERTIFICATES)
    assert re.search(r"^2 ok in", said, re.MULTILINE), said


MAIL = """
import pytest


def test_own_mail(world, client):
    def send(to, *words):
        client.exec("swaks", "--from", "ann@shop.test", "--to", to, "--body", "Gr\u00fc\u00dfe",
                    "--header", f"Subject: for {to}", *words)
        return world.sink.arrived(to)

    assert world.sink.mails() == []
    world.names.add("other.example", "MX", "10 sink.test")
    mail = send("bob@other.example", "--server", "sink.test")
    assert (mail.envelope.sender, mail.envelope.tls) == ("ann@shop.test", None)
    assert mail.envelope.peer == client.address
    assert mail.message["Subject"] == "for bob@other.example"
    assert "Gr\u00fc\u00dfe".encode() in mail.data

    client.exec("sh", "-c", "cat >/etc/world.pem", stdin=world.acme.ca.encode())
    safely = ("--server", "sink.test", "--tls-ca-path", "/etc/world.pem", "--tls-verify")
    mail = send("eve@any.test", *safely, "--tls", "--auth", "PLAIN", "-au", "eve", "-ap", "x")
    assert (mail.envelope.tls, mail.envelope.user) == ("TLSv1.3", "eve")
    mail = send("sue@any.test", *safely, "--tlsc", "--port", "465")
    assert (mail.envelope.tls, mail.envelope.user) == ("TLSv1.3", None)
    assert len(world.sink.mails()) == 3
    assert [one.data for one in world.sink.mails("sue@any.test")] == [mail.data]
    with pytest.raises(AssertionError, match="no mail for nobody@any.test has come within 1 s"):
        world.sink.arrived("nobody@any.test", patience=1)
"""


@pytest.mark.slow
def test_mail_comes_to_the_sink(oven: Oven, sound: Path) -> None:
    said = outcome(oven, sound, MAIL)
    assert re.search(r"^2 ok in", said, re.MULTILINE), said


FAILING = """
def test_own_that_fails(world, instance):
    instance.attempt("getent", "hosts", "shop.nowhere.example")
    assert False, "as it should"
"""


@pytest.mark.slow
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
