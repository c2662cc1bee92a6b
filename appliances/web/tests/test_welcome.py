"""The page of a web server that has no sites yet."""

import pytest

from builder.testing.client import Client
from builder.testing.container import Instance

pytestmark = pytest.mark.answers(sites=[])


def test_welcome(client: Client, instance: Instance) -> None:
    """Without sites it shows a friendly page, by IPv4 and IPv6, and nothing else."""
    for family in ("-4", "-6"):
        page = client.get(f"http://{instance.name}/", family)
        assert page.status == 200, family
        assert "<h1>Fresh from the oven</h1>" in page.text
    assert client.get(f"http://{instance.name}/no-such-page").status == 404
    for path in ("/.git/config", "/../../../../etc/passwd", "/..%2f..%2fetc/passwd"):
        status = client.get(f"http://{instance.name}{path}", "--path-as-is").status
        assert status in {400, 403, 404}, path
    # What nobody uses takes no memory.
    assert instance.attempt("systemctl", "is-active", "mariadb.service").code == 3
    instance.configure({"title": "Ours"})
    assert "<h1>Ours</h1>" in client.get(f"http://{instance.name}/").text
