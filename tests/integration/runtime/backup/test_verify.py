"""Backups that are tried, and those that are made as time goes by."""

import json
import signal

import pytest

from builder.host.units import Systemd
from builder.model.health import HealthProbe
from builder.model.interface import Interface
from builder.runtime.backup import schedule
from builder.runtime.record.container import all_names
from builder.runtime.storage import volumes
from tests.integration.runtime.backup.conftest import NOTES, SPEC, Shop
from tests.support.needs import needs
from tests.support.oven import text

pytestmark = [pytest.mark.slow, needs("root", "program:runc", "program:conmon", "program:restic")]

PROBE = HealthProbe(name="notes", kind="exec", level="deep", command=("cat", "/var/lib/notes/mine"))


@pytest.fixture
def ready(shop: Shop) -> Shop:
    """An instance with a deep probe, and a repository."""
    shop.made(Interface(volumes=(NOTES,), backup=SPEC, health=(PROBE,)))
    shop.init()
    return shop


def nothing_left(shop: Shop) -> None:
    assert all_names(shop.rig.places) == ["shop"]
    assert [one.name for one in volumes.every(shop.rig.places)] == ["shop.notes"]
    assert shop.left() == []


def test_a_backup_counts_once_its_instance_is_healthy(ready: Shop) -> None:
    ready.backed_up()
    told = ready.oven.said("backup", "verify", "shop", code=6)
    assert "was restored, and does not work: `notes`: `cat` ended with 1" in told
    nothing_left(ready)
    ready.sh("echo mine >/var/lib/notes/mine")
    made = ready.backed_up()
    assert text(ready.oven("backup", "verify", "shop").stdout).strip() == made[:8]
    nothing_left(ready)


KILLED = """
import os, signal
from builder.runtime.backup import repository, verify
from builder.runtime.backup.restore import RestoreRequest
verify.checkup.look = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
where = repository.need(places, "shop").repository
verify.verify(places, RestoreRequest("shop", "shop"), where, Silent(), read_data=False)
"""


def test_a_killed_trial_is_cleared_away(ready: Shop) -> None:
    ready.backed_up()
    process = ready.rig.call(KILLED)
    _, said = process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL, said.decode()
    assert len(all_names(ready.rig.places)) == 2
    ready.backed_up()
    nothing_left(ready)


def test_what_is_due_is_backed_up_and_pruned(ready: Shop) -> None:
    assert text(ready.oven("backup", "schedule", "shop").stdout) == "off\n"
    assert ready.oven("backup", "due").stdout == b""
    schedule.write(ready.rig.places, "shop", daily=True)
    assert text(ready.oven("backup", "schedule", "shop").stdout) == "daily\n"
    ready.oven("backup", "due")
    name, made = text(ready.oven("backup", "due").stdout).split()
    assert name == "shop"
    kept = json.loads(ready.oven("backup", "list", "shop", "--json").stdout)
    assert [one["id"][:8] for one in kept] == [made[:8]], "one for each day"
    (ready.rig.places.data / "backup/password").write_text("another\n")
    assert "does not open the repository" in ready.oven.said("backup", "due", code=7)


def test_the_timer_is_there_while_somebody_needs_it(ready: Shop) -> None:
    places = ready.rig.places
    systemd = Systemd(places.data / "units", places.data / "no-sign", places.data / "no-run")
    assert schedule.settle(places, systemd) is None
    schedule.write(places, "shop", daily=True)
    told = schedule.settle(places, systemd)
    assert told is not None
    assert "backup due" in told
    units = schedule._units(places, "oven-backup")
    assert "OnCalendar=*-*-* 03:17:00" in units["oven-backup.timer"].text()
    assert "backup due" in units["oven-backup.service"].text().replace('"', "")
    schedule.write(places, "shop", daily=False)
    assert schedule.settle(places, systemd) is None


def test_init_again_keeps_the_schedule(ready: Shop) -> None:
    schedule.write(ready.rig.places, "shop", daily=True)
    ready.init()
    assert text(ready.oven("backup", "schedule", "shop").stdout) == "daily\n"
