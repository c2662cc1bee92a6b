"""Identities that Debian's packages make: no template has them, and each container its own."""

from pathlib import Path

import pytest

from builder.distros.first_boot import FIRST_BOOT
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
name = "{name}"

[packages]
install = [{packages}]

[probe]
skip = "its containers are looked at"
"""
SOME = ("nvme-cli", "open-iscsi", "popularity-contest")
ALL = (
    "dropbear", "ejabberd", "ircd-hybrid", "lsh-server", "munge", "phpmyadmin", "quassel-core",
    "xrdp",
)  # fmt: skip
"""The rest of those that make a secret when they are installed."""
LINES = {"/etc/popularity-contest.conf": "MY_HOSTID"}
"""Of these files, only such lines are a container's own."""


def differing(oven: Oven, folder: Path, packages: tuple[str, ...], names: tuple[str, str]) -> None:
    listed = ", ".join(f'"{package}"' for package in packages)
    template = f"many-{len(packages)}"
    oven("build", project(folder, RECIPE.format(name=template, packages=listed), name=template))
    units = [row for row in FIRST_BOOT if row.name != "mail-aliases"]
    paths = [*(path for row in units for path in row.missing), *LINES]
    look = "; ".join(
        f"test -e {path} && echo {path} $({_shows(path)} | sha256sum)" for path in paths
    )
    seen = []
    for name in names:
        oven("run", template, "--name", name, "--network", "none")
        rows = text(oven("exec", name, "--", "sh", "-c", f"{look}; true").stdout).splitlines()
        seen.append(dict(row.split()[:2] for row in rows))
        failed = oven(
            "exec", name, "--", "systemctl", "list-units", "--failed", "--plain", "oven-*"
        )
        assert "0 loaded units" in text(failed.stdout)
    assert seen[0].keys() == seen[1].keys()
    same = {path for path, there in seen[0].items() if seen[1][path] == there}
    assert same <= {"/etc/cron.d/popularity-contest"}  # 1440 minutes: once in a while the same
    assert len(seen[0]) >= len(packages)
    oven("destroy", "--force", *names)


@pytest.mark.slow
def test_two_containers_of_one_template(
    oven: Oven, built: Built, fresh_name: str, tmp_path: Path
) -> None:
    built("debian-bookworm")
    differing(oven, tmp_path, SOME, (fresh_name, f"{fresh_name}-b"))


def _shows(path: str) -> str:
    return f"grep {LINES[path]} {path}" if path in LINES else f"cat {path}"


@pytest.mark.slow
def test_all_packages_that_are_known_to_make_secrets(
    oven: Oven, built: Built, fresh_name: str, tmp_path: Path
) -> None:
    built("debian-bookworm")
    differing(oven, tmp_path, ALL, (fresh_name, f"{fresh_name}-b"))
