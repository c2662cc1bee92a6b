"""What a container is, is read once by each verb that takes its lock once."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from builder.runtime.lifecycle import create
from builder.runtime.record.layout import RECORD
from tests.support.containers.rig import Rig
from tests.support.needs import needs
from tests.support.oven import Oven

pytestmark = needs("root", "program:runc", "program:conmon")

COUNTING = """
import os, sys

def note(event, arguments):
    if event == "open" and str(arguments[0]).endswith("/container.json"):
        fd = os.open(os.environ["OVEN_TEST_OPENED"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(fd, os.fsencode(arguments[0]) + b"\\n")
        os.close(fd)

sys.addaudithook(note)
from builder.cli import main
main()
"""
"""An `oven` that notes of which containers it opens the record (audit hooks, PEP 578); what it
forks does too."""

VERBS = (
    "show test", "list", "start test", "exec test -- true", "show test", "logs test", "diff test",
    "set test --memory 64M", "cp /etc/hostname test:/tmp/copied", "freeze test", "thaw test",
    "snapshot create test one", "snapshot list test", "clone test third", "restart test",
    "export test -o out", "stop test", "snapshot create test two", "snapshot restore test one",
    "snapshot rm test one", "export test -o out", "clone test other", "destroy test",
)  # fmt: skip
"""In an order in which each can be done."""

AGAIN = {
    "start": (2, "the lock is not held while it boots"),
    "restart": (4, "nor while it is stopped for a task"),
    "clone": (2, "which ids are taken is looked for in all records"),
}
"""What reads a record more than once, and why."""


@pytest.fixture
def rig(rig: Rig) -> Rig:
    create.create(rig.places, rig.container())
    create.create(rig.places, rig.container("another"))
    return rig


def test_a_verb_reads_a_record_once(rig: Rig, tmp_path: Path) -> None:
    opened = tmp_path / "opened"
    oven = replace(
        Oven(rig.places.data), argv=(sys.executable, "-c", COUNTING), cwd=tmp_path,
        env={"OVEN_TEST_OPENED": str(opened), "PYTHONPATH": str(Path.cwd())},
    )  # fmt: skip
    found = {}
    for verb in VERBS:
        opened.write_text("")
        oven(*verb.split())
        found[verb] = (
            opened.read_text().split().count(f"{rig.places.data}/containers/test/{RECORD}")
        )
    expected = {verb: AGAIN.get(verb.split()[0], (1, ""))[0] for verb in VERBS}
    assert found == expected
