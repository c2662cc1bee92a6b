"""Templates that have the answers themselves, for whoever runs them without Oven."""

from pathlib import Path

import pytest

from tests.support.needs import needs
from tests.support.oven import Oven, text
from tests.system.appliances.conftest import FILES, write
from tests.system.conftest import Built

pytestmark = needs("root", "archive", "program:runc")

PLAIN = """\
from = "debian-bookworm"

[template]
name = "greeting"

[parameters.domain]
format = "hostname"

[parameters.title]
default = "Notes"

[parameters.token]
default = "none"

[[file]]
path = "/etc/notes/notes.conf"
group = "adm"
mode = "0640"
"""


@pytest.fixture
def greeting(oven: Oven, built: Built, disk: Path) -> tuple[Oven, Path]:
    built("debian-bookworm")
    folder = write(disk / "greeting", PLAIN)
    conf = folder / "instance/etc/notes/notes.conf.j2"
    conf.write_text(
        FILES["instance/etc/notes/notes.conf.j2"].replace("{{ instance.hostname }}", "x")
    )
    return oven, folder


def test_it_is_built_with_answers(greeting: tuple[Oven, Path]) -> None:
    oven, folder = greeting
    (folder / "answers.toml").write_text('domain = "d.example"\n')
    oven("build", "--no-probe", folder, "--answers", folder / "answers.toml", "--set", "title=Hi")
    show = "cat /etc/notes/notes.conf; stat -c %U:%G:%a /etc/notes/notes.conf; ls /etc/notes"
    done = oven("run", "--rm", "--network", "none", "greeting", "--", "sh", "-c", show)
    assert text(done.stdout).splitlines() == [
        "title = Hi", "domain = d.example", "token = none", "host = x",
        "root:adm:640", "notes.conf",
    ]  # fmt: skip
    assert "has no parameters" in oven.said(
        "create", "never", "greeting", "--set", "title=x", code=2
    )


def test_what_is_missing_or_secret_is_refused(greeting: tuple[Oven, Path]) -> None:
    oven, folder = greeting
    said = oven.said("build", folder, "--set", "title=Hi", code=2)
    assert "`domain` is not answered" in said
    assert "must be a host name" in oven.said("build", folder, "--set", "domain=-", code=2)
    (folder / "appliance.toml").write_text(f'{PLAIN}\n[secrets.db]\nkind = "password"\n')
    said = oven.said("build", folder, "--set", "domain=d.example", code=2)
    assert "`db` is a secret, which all containers of the template would share" in said


def test_links_are_no_instance_files(greeting: tuple[Oven, Path]) -> None:
    oven, folder = greeting
    (folder / "instance/etc/link").symlink_to("/etc/shadow")
    assert "`instance/` holds plain files" in oven.said("build", folder, code=2)
