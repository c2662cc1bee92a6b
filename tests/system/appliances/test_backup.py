"""Backups of a real appliance: what it was asked, its secrets and its data, on another host too."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.needs import needs
from tests.support.oven import Oven, text
from tests.system.appliances.conftest import APPLIANCE, write
from tests.system.conftest import Built

pytestmark = needs("program:restic")

LEDGER = (
    APPLIANCE.replace('name = "notes"', 'name = "ledger"')
    + """
[[volume]]
name = "data"
path = "/var/lib/ledger"
owner = "ledger"
mode = "0750"

[[user]]
name = "ledger"
uid = 990
system = true

[[health]]
name = "running"
kind = "unit"
unit = "notes.service"
level = "live"

[[health]]
name = "entry"
kind = "exec"
command = ["grep", "-q", "first", "/var/lib/ledger/dump"]
level = "deep"

[backup]
before = [{ command = ["cp", "/var/lib/ledger/book", "/var/lib/ledger/dump"], timeout = "1m" }]
after = [{ command = ["rm", "/var/lib/ledger/dump"] }]
exclude = ["/var/lib/ledger/book"]
"""
)


@pytest.fixture(scope="module")
def ledger(oven: Oven, built: Built, session_disk: Path) -> Oven:
    """The command, with the template of an appliance that keeps something."""
    built("debian-bookworm")
    oven("build", "--no-probe", write(session_disk / "appliances/ledger", LEDGER))
    return oven


@pytest.fixture
def kept(ledger: Oven, fresh_name: str, tmp_path: Path) -> Iterator[str]:
    """An instance that was backed up; what it wrote is `first`."""
    words = ("--network", "none", "--set", "domain=a.example", "--set", "title=Mine")
    ledger("run", "ledger", "--name", fresh_name, *words)
    ledger("exec", fresh_name, "--", "sh", "-c", "echo first >/var/lib/ledger/book")
    ledger("backup", "init", fresh_name, "--repository", tmp_path / "repository")
    ledger("backup", "create", fresh_name)
    yield fresh_name
    ledger("destroy", "--force", "--volumes", fresh_name)


def inside(oven: Oven, name: str, *command: str) -> str:
    return text(oven("exec", name, "--", *command).stdout)


def test_an_instance_is_made_again_with_answers_and_secrets(ledger: Oven, kept: str) -> None:
    other = f"{kept[:50]}-again"
    ledger("backup", "restore", kept, "--as", other)
    try:
        ledger("start", other)
        for path in ("/etc/notes/notes.conf", "/run/notes.db"):
            had = inside(ledger, kept, "cat", path).replace(f"host = {kept}", "")
            assert inside(ledger, other, "cat", path).replace(f"host = {other}", "") == had
        assert f"host = {other}" in inside(ledger, other, "cat", "/etc/notes/notes.conf")
        look = inside(ledger, other, "sh", "-c", "cd /var/lib/ledger; stat -c %u:%a .; ls; cat *")
        assert look.split() == ["990:750", "dump", "first"]
        machine = "/etc/machine-id"
        assert inside(ledger, other, "cat", machine) != inside(ledger, kept, "cat", machine)
    finally:
        ledger("destroy", "--force", "--volumes", other)


def test_a_backup_is_tried_apart_from_all(ledger: Oven, kept: str) -> None:
    ledger("backup", "verify", kept)
    names = {one["name"] for one in json.loads(ledger("list", "--json").stdout)}
    assert not [name for name in names if name.startswith("verify-")]
    ledger("exec", kept, "--", "sh", "-c", "echo other >/var/lib/ledger/book")
    ledger("backup", "create", kept)
    told = ledger.said("backup", "verify", kept, code=6)
    assert "does not work: `entry`" in told
