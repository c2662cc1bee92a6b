"""Certificates from an authority, by ACME."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from builder.testing.client import Client
from builder.testing.fixtures import Instances
from builder.testing.world import World

from .conftest import put

NAME = "shop.example.test"


@pytest.mark.slow
def test_issued_and_renewed(world: World, client: Client, instances: Instances) -> None:
    """Certificates are issued and renewed, and no connection ends for that."""
    one = instances(
        sites=[{"name": NAME}],
        acme_email="baker@example.test",
        # What it gives out has to be renewed whenever somebody looks.
        acme_directory=world.acme.short,
        acme_ca=world.acme.ca,
    )
    world.names.host(NAME, *one.facts["addresses"])
    client.exec("sh", "-c", "cat >/etc/world.pem", stdin=world.acme.ca.encode())
    trusting = ("curl", "-s", "-S", "--cacert", "/etc/world.pem", "--max-time", "60")
    assert client.attempt(*trusting, f"https://{NAME}/").code == 60, "self-signed at first"

    def certificate() -> str:
        words = ("openssl", "s_client", "-connect", f"{NAME}:443", "-servername", NAME)
        return client.exec("openssl", "x509", stdin=client.exec(*words).encode())

    one.exec("webctl", "acme")
    assert f"<h1>{NAME}</h1>" in client.exec(*trusting, f"https://{NAME}/")
    first = certificate()

    put(one, NAME, "htdocs/large", "x" * 3_000_000)
    told = ("-o", "/dev/null", "-w", "%{http_code} %{size_download}")
    asked = (*trusting, "--limit-rate", "500k", *told)
    with ThreadPoolExecutor() as threads:
        download = threads.submit(client.exec, *asked, f"https://{NAME}/large")
        one.exec("webctl", "acme")
        renewed = certificate()
        assert download.result() == "200 3000000"
    assert renewed != first
    # A restart asks for nothing that it has.
    one.restart()
    assert certificate() == renewed
