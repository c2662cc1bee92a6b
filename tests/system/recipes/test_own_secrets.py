"""Secrets that packages make: each container makes its own, before whatever wants them."""

from pathlib import Path

import pytest

from tests.support.builds.projects import project
from tests.support.needs import needs
from tests.support.oven import Oven, text
from tests.system.conftest import Built

pytestmark = [
    needs("root", "archive", "program:conmon", "program:runc"),
    pytest.mark.usefixtures("nothing_left"),
]

RECIPE = """\
from = "debian-bookworm"

[template]
name = "secretive"

[packages]
install = ["bind9", "openssh-server", "postfix", "postgresql"]

[services]
disable = ["ssh.service"]
enable = ["ssh.socket"]
"""
SECRETS = (
    "/etc/ssh/ssh_host_ed25519_key",
    "/etc/ssl/private/ssl-cert-snakeoil.key",
    "/etc/bind/rndc.key",
)
SERVICES = ("postgresql@15-main.service", "named.service", "postfix@-.service", "ssh.socket")
UNITS = ("ssh-host-keys", "snakeoil-certificate", "rndc-key", "mail-aliases")


@pytest.mark.slow
def test_services_find_their_secrets(
    oven: Oven, built: Built, fresh_name: str, tmp_path: Path
) -> None:
    """Instances and sockets among them, which nobody could name beforehand."""
    built("debian-bookworm")
    said = oven.said("build", project(tmp_path, RECIPE, name="secretive"))
    assert "probe secretive: running" in said
    seen = []
    for name in (fresh_name, f"{fresh_name}-b"):
        oven("run", "secretive", "--name", name, "--network", "none")
        oven("exec", name, "--", "systemctl", "is-active", *SERVICES)
        oven("exec", name, "--", "rndc", "status")
        oven("exec", name, "--", "test", "-s", "/etc/aliases.db")
        seen.append(text(oven("exec", name, "--", "cat", *SECRETS).stdout))
    assert seen[0] != seen[1]
    # Once, and not at a later start.
    oven("restart", fresh_name)
    assert text(oven("exec", fresh_name, "--", "cat", *SECRETS).stdout) == seen[0]
    units = (f"oven-{unit}.service" for unit in UNITS)
    results = oven("exec", fresh_name, "--", "systemctl", "show", "-P", "ConditionResult", *units)
    assert text(results.stdout).split() == ["no"] * len(UNITS)
    oven("destroy", "--force", fresh_name, f"{fresh_name}-b")
