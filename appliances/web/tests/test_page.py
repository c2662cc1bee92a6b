"""The page, as those see it who ask for it."""

import pytest

from builder.testing.client import Client
from builder.testing.container import Instance


def test_title(client: Client, instance: Instance) -> None:
    """Its page has the title."""
    page = client.get(f"http://{instance.name}/")
    assert page.status == 200
    assert "<h1>Fresh from the oven</h1>" in page.text


def test_nothing_else(client: Client, instance: Instance) -> None:
    """What is not there is not found."""
    assert client.get(f"http://{instance.name}/no-such-page").status == 404


@pytest.mark.parametrize("path", ["/.git/config", "/../etc/passwd", "/index.html.j2"])
def test_private(client: Client, instance: Instance, path: str) -> None:
    """Nothing is served that belongs to nobody."""
    assert client.get(f"http://{instance.name}{path}", "--path-as-is").status in {400, 403, 404}


def test_both_families(client: Client, instance: Instance) -> None:
    """It is reached by IPv4 and IPv6."""
    for family in ("-4", "-6"):
        assert client.get(f"http://{instance.name}/", family).status == 200, family
