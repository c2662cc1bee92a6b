"""What the tests of the web server share: visitors of sites whose names lead to the instance."""

from collections.abc import Callable

import pytest

from builder.testing.client import Client, Page
from builder.testing.container import Instance

Visit = Callable[..., Page]
"""Asks for a page by its address, whatever name servers say: `visit(URL, *options of curl)`."""


@pytest.fixture
def visit(client: Client, instance: Instance) -> Visit:
    """Ask the instance; its certificates are its own until an authority has given some."""

    def ask(url: str, *options: str) -> Page:
        return client.get(url, "--insecure", "--connect-to", f"::{instance.name}:", *options)

    return ask


def put(instance: Instance, site: str, path: str, text: str) -> None:
    """Write a file of a site's, as its owner does who uploads it."""
    file = f"/srv/sites/{site}/{path}"
    owner = instance.exec("stat", "-c", "%U", f"/srv/sites/{site}").strip()
    # Below a folder of the owner's; its group is the web server's by the folder's bit.
    script = 'mkdir -p "${0%/*}" && cat >"$0" && chmod 0640 "$0"'
    instance.exec("sh", "-c", script, file, user=owner, stdin=text.encode())
