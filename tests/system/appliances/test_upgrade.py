"""Instances on another template or host: files follow, and answers and secrets stay."""

import re
from pathlib import Path

import pytest

from tests.support.needs import needs
from tests.support.oven import Oven, text
from tests.system.appliances.conftest import APPLIANCE, write
from tests.system.appliances.test_instance import inside

pytestmark = needs("root", "archive", "program:runc", "program:conmon")

REGION = '\n[parameters.region]\nenum = ["here", "there"]\naffects = []\n'


@pytest.fixture(scope="module")
def newer(notes: Oven, session_disk: Path) -> Oven:
    """The command, with two newer templates of the appliance; one of them asks for more."""
    for name, more in (("notes-2", ""), ("notes-3", REGION)):
        said = APPLIANCE.replace('name = "notes"', f'name = "{name}"') + more
        folder = write(session_disk / "appliances" / name, said)
        conf = folder / "instance/etc/notes/notes.conf.j2"
        asked = "{{ parameters.region }}" if more else "nowhere"
        conf.write_text(f"{conf.read_text()}template = {{{{ template.name }}}} {asked}\n")
        (folder / "instance/etc/motd").unlink()
        (folder / "overlay/etc/motd").write_text("of the template\n")
        notes("build", "--no-probe", folder)
    return notes


def conf(oven: Oven, name: str) -> list[str]:
    return inside(oven, name, "cat", "/etc/notes/notes.conf").splitlines()


def test_files_follow_the_template_there_and_back(newer: Oven, started: str) -> None:
    before, secret = conf(newer, started), inside(newer, started, "cat", "/run/notes.db")
    assert inside(newer, started, "cat", "/etc/motd") == "{{ as it is }}\n"
    newer("upgrade", started, "--to", "notes-2")
    assert conf(newer, started) == [*before, "template = notes-2 nowhere"]
    assert inside(newer, started, "cat", "/run/notes.db") == secret
    assert inside(newer, started, "cat", "/etc/motd") == "of the template\n"
    assert "nothing changes" in newer.said("configure", started)
    newer("rollback", started, "--stop")
    assert conf(newer, started) == before
    assert inside(newer, started, "cat", "/run/notes.db") == secret
    assert inside(newer, started, "cat", "/etc/motd") == "{{ as it is }}\n"


def test_what_a_new_template_asks_for_is_answered_with_the_upgrade(
    newer: Oven, started: str
) -> None:
    before = conf(newer, started)
    told = newer.said("upgrade", started, "--to", "notes-3", code=7)
    assert "asks for `region`, which is not answered" in told
    assert "say `--set region=…`" in told
    wrong = newer.said("upgrade", started, "--to", "notes-3", "--set", "region=nowhere", code=2)
    assert "must be one of `here`, `there`" in wrong
    assert conf(newer, started) == before
    newer("upgrade", started, "--to", "notes-3", "--set", "region=there")
    assert conf(newer, started) == [*before, "template = notes-3 there"]
    assert not re.search("unanswered", text(newer("show", started).stdout))


def test_a_container_becomes_an_instance(newer: Oven, fresh_name: str) -> None:
    newer("run", "debian-bookworm", "--name", fresh_name, "--network", "none")
    try:
        assert "asks for `domain`" in newer.said("upgrade", fresh_name, "--to", "notes", code=7)
        newer("upgrade", fresh_name, "--to", "notes", "--set", "domain=c.example")
        assert "domain = c.example" in conf(newer, fresh_name)
        newer("rollback", fresh_name, "--stop")
        inside(newer, fresh_name, "test", "-e", "/etc/notes/notes.conf", code=1)
    finally:
        newer("destroy", "--force", fresh_name)


def test_it_travels_with_what_it_was_told(notes: Oven, started: str, disk: Path) -> None:
    notes("configure", started, "--set", "title=extra")
    before, secret = conf(notes, started), inside(notes, started, "cat", "/run/notes.db")
    notes("export", started, "-o", disk / "one.oven")
    moved, other = f"{started}-moved", f"{started}-other"
    try:
        notes("import", disk / "one.oven", moved)
        notes("start", moved)
        assert conf(notes, moved) == [*before[:3], f"host = {moved}"]
        assert inside(notes, moved, "cat", "/run/notes.db") == secret
        notes("configure", moved, "--set", "title=Other")
        inside(notes, moved, "test", "-e", "/etc/notes/extra.conf", code=1)
        notes("import", disk / "one.oven", other, "--as-another")
        notes("start", other)
        assert conf(notes, other)[:2] == before[:2]
        assert inside(notes, other, "cat", "/run/notes.db") != secret
    finally:
        notes("destroy", "--force", moved, other)
