"""Health of real services: units that end show why, and Debian's own servers pass."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.needs import needs
from tests.support.oven import Oven
from tests.system.conftest import Built

pytestmark = needs("root", "archive", "program:runc", "program:conmon")

SHOP = """\
from = "debian-bookworm"

[template]
name = "t-shop"

[services]
enable = ["shop.service"]

[parameters.words]
default = "open for business"

[[health]]
name = "shop"
kind = "unit"
level = "live"
unit = "shop.service"

[[health]]
name = "said"
kind = "exec"
command = ["journalctl", "--unit=shop"]
contains = "{{ parameters.words }}"

[[health]]
name = "dbus"
kind = "unit"
unit = "dbus.socket"
"""
UNIT = """\
[Service]
ExecStart=/bin/sh -c 'echo open for business; exec sleep infinity'
ExecStop=/bin/echo closing time

[Install]
WantedBy=multi-user.target
"""

KILLED = "systemctl kill --signal=KILL shop; while systemctl --quiet is-active shop; do :; done"

SERVERS = {
    "nginx": ("http", 'contains = "Welcome to nginx!"'),
    "postfix@-": ("smtp", 'host = "127.0.0.1"'),
    "dovecot": ("imap", "starttls = true\ndays = 30"),
    "postgresql@15-main": ("pg", 'host = "127.0.0.1"'),
    "mariadb": ("mysql", 'host = "127.0.0.1"'),
    "redis-server": ("redis", 'host = "127.0.0.1"'),
    "slapd": ("ldap", ""),
    "unbound": ("dns", 'host = "127.0.0.1"\nquery = "localhost"'),
}
SERVING = """\
from = "debian-bookworm"

[template]
name = "t-servers"

[packages]
install = [
    "nginx", "postfix", "dovecot-imapd", "postgresql", "mariadb-server", "redis-server", "slapd",
    "unbound", "dns-root-data",
]

[debconf]
selections = ["postfix postfix/main_mailer_type select Local only"]

[[allow]]
path = "/etc/ssl/private/ssl-cert-snakeoil.key"
reason = "a test of servers, which nobody uses"
""" + "".join(
    f"""
[[health]]
name = "{kind}"
kind = "{kind}"
timeout = "2s"
unit = "{unit}.service"
{more}
"""
    for unit, (kind, more) in SERVERS.items()
)


@contextmanager
def running(oven: Oven, folder: Path, recipe: str, template: str) -> Iterator[str]:
    """Build an appliance, and run it."""
    (folder / "appliance.toml").write_text(recipe)
    oven("build", folder)
    name = f"{template}-{os.getpid()}"
    oven("run", template, "--name", name)
    try:
        yield name
    finally:
        oven("destroy", "--force", name)
        oven("template", "rm", template)


def red(oven: Oven, name: str) -> dict[str, Any]:
    rows = json.loads(oven("health", name, "--json", code=1).stdout)
    return {row["probe"]: row for row in rows if not row["healthy"]}


def test_a_unit_that_ends_shows_why(oven: Oven, built: Built, tmp_path: Path) -> None:
    built("debian-bookworm")
    unit = tmp_path / "shop/overlay/etc/systemd/system/shop.service"
    unit.parent.mkdir(parents=True)
    unit.write_text(UNIT)
    with running(oven, tmp_path / "shop", SHOP, "t-shop") as name:
        oven("health", name)
        oven("exec", name, "--", "systemctl", "stop", "shop")
        found = red(oven, name)
        assert list(found) == ["shop"]
        assert found["shop"]["reason"] == "`shop.service` is inactive (dead)"
        assert len(found["shop"]["lines"]) == 5
        assert any("closing time" in line for line in found["shop"]["lines"])
        oven("exec", name, "--", "systemctl", "start", "shop")
        oven("health", name)
        oven("exec", name, "--", "sh", "-c", KILLED)
        assert red(oven, name)["shop"]["reason"] == "`shop.service` is failed (signal)"
        # It starts anew with the container, whose start waits for it.
        oven("restart", name)
        oven("health", name)


@pytest.mark.slow
def test_servers_of_debian(oven: Oven, built: Built, tmp_path: Path) -> None:
    built("debian-bookworm")
    with running(oven, tmp_path, SERVING, "t-servers") as name:
        oven("health", name)
        for unit, (kind, _) in SERVERS.items():
            oven("exec", name, "--", "systemctl", "stop", unit)
            found = red(oven, name)
            assert list(found) == [kind]
            assert "is closed" in found[kind]["reason"]
            assert found[kind]["lines"]
            oven("exec", name, "--", "systemctl", "start", unit)
        oven("start", name)  # which waits for the last one
        oven("health", name)
