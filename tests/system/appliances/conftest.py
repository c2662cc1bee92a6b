"""A small appliance that shows what reaches it: a service with a configuration and a secret."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.oven import Oven
from tests.system.conftest import Built

APPLIANCE = """\
from = "debian-bookworm"

[template]
name = "notes"

[services]
enable = ["notes.service"]

[services.config."notes.service"]
test = ["/usr/bin/notes-check"]

[parameters.domain]
format = "hostname"
title = "Where it is found"

[parameters.title]
default = "Notes"
affects = [{ unit = "notes.service" }]

[parameters.engine]
default = "a"
enum = ["a", "b"]
immutable = "the notes are kept in its form"

[parameters.token]
secret = true
generate = "password"
minLength = 8
affects = [{ unit = "notes.service", action = "restart" }]

[secrets.db]
kind = "password"
title = "For the database"
show = true
affects = [{ unit = "notes.service", action = "restart" }]

[[file]]
path = "/etc/notes/notes.conf"
group = "adm"
mode = "0640"

[[assert]]
that = "parameters.title != parameters.domain"
message = "a title is more than the domain"
"""
FILES = {
    "overlay/etc/systemd/system/notes.service": """\
[Unit]
ConditionPathExists=/etc/notes/notes.conf
[Service]
Type=exec
LoadCredential=db
ExecStart=/usr/bin/notes
ExecReload=/usr/bin/notes-reload
[Install]
WantedBy=multi-user.target
""",
    "overlay/usr/bin/notes": """\
#!/bin/sh
cp /etc/notes/notes.conf /run/notes.conf
cp "$CREDENTIALS_DIRECTORY/db" /run/notes.db
echo start >>/run/notes.log
exec sleep infinity
""",
    "overlay/usr/bin/notes-reload": """\
#!/bin/sh
echo reload >>/run/notes.log
if grep -q 'title = unreloadable' /etc/notes/notes.conf; then echo 'no such title'; exit 1; fi
cp /etc/notes/notes.conf /run/notes.conf
""",
    "overlay/usr/bin/notes-check": """\
#!/bin/sh
if grep -q 'title = bad' /etc/notes/notes.conf; then echo 'line 1: a bad title'; exit 7; fi
if grep -q 'title = wait' /etc/notes/notes.conf; then touch /run/waits; sleep infinity; fi
""",
    "instance/etc/notes/notes.conf.j2": """\
title = {{ parameters.title }}
domain = {{ parameters.domain }}
token = {{ parameters.token }}
host = {{ instance.hostname }}
""",
    "instance/etc/notes/extra.conf.j2": """\
{% if parameters.title == "extra" %}extra = 1{% endif %}
""",
    "instance/etc/motd": "{{ as it is }}\n",
}


def write(folder: Path, appliance: str = APPLIANCE) -> Path:
    """Write the appliance into a folder."""
    for name, text in {"appliance.toml": appliance, **FILES}.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        if "usr/bin" in name:
            file.chmod(0o755)
    return folder


@pytest.fixture(scope="session")
def notes(oven: Oven, built: Built, session_disk: Path) -> Oven:
    """The command, with the template of the appliance."""
    built("debian-bookworm")
    oven("build", "--no-probe", write(session_disk / "appliances/notes"))
    return oven


@pytest.fixture
def port() -> int:
    """A port of this host that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
    return number


@pytest.fixture
def started(notes: Oven, fresh_name: str) -> Iterator[str]:
    """The name of an instance that runs, all of it answered."""
    notes("run", "notes", "--name", fresh_name, "--network", "none", "--set", "domain=a.example")
    yield fresh_name
    notes("destroy", "--force", fresh_name)
