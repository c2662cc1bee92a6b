"""Terminals that go away, as when a window is closed: what ran there ends as SIGHUP has it end."""

import os
import select
import signal
import subprocess
from pathlib import Path

import pytest

from builder.model.progress import Silent
from builder.runtime.lifecycle import control, create
from tests.support.containers.rig import SAYS, Rig, put_init
from tests.support.hosts.terminal import PATIENCE
from tests.support.needs import needs
from tests.support.oven import Oven

pytestmark = needs("root", "program:runc", "program:conmon")

LEADER = ("sh", "-c", '"$@"; exit $?', "sh")


@pytest.fixture(scope="module")
def tree(tree: Path) -> Path:
    put_init(tree, f"#!/bin/sh\n{SAYS}exec sleep 1000\n")
    (tree / "etc/passwd").write_text("root:x:0:0:root:/:/bin/sh\n")
    return tree


@pytest.fixture
def rig(rig: Rig) -> Rig:
    create.create(rig.places, rig.container())
    control.start(rig.places, "test", Silent())
    return rig


LINES = {
    "exec": (("exec", "-t", "test", "--", "sh", "-c", "echo be''gun; sleep 1000"), b"begun"),
    "enter": (("enter", "test"), b"# "),
    "console": (("console", "test"), b"leaves"),
}
BELOW = """trap : HUP; "$@"; echo $? >"$STATUS" """


@pytest.mark.parametrize("leads", [True, False], ids=["leader", "child"])
@pytest.mark.parametrize("verb", ["exec", "enter", "console"])
def test_a_terminal_that_goes_ends_the_command_as_sighup_does(
    rig: Rig, tmp_path: Path, verb: str, leads: bool
) -> None:
    """Whether it leads the session, as with `ssh -t`, or a shell does that dies of the signal."""
    line, word = LINES[verb]
    (tmp_path / "tmp").mkdir()
    oven = Oven(rig.places.data, env={"TMPDIR": str(tmp_path / "tmp")})
    (ours, theirs), (reading, writing) = os.openpty(), os.pipe()
    os.set_inheritable(writing, True)
    status = tmp_path / "status"
    # One shell notes the status, and around it may be another that leads.
    shells = ["sh", "-c", BELOW, "sh"]
    process = subprocess.Popen(
        ["setsid", "--ctty", *([] if leads else [*LEADER, *shells]), *oven.line(*line)],
        stdin=theirs, stdout=theirs, stderr=theirs, cwd=oven.cwd, pass_fds=[writing],
        env={**oven.environment, "STATUS": str(status)},
    )  # fmt: skip
    os.close(theirs)
    os.close(writing)
    said = b""
    while word not in said:
        said += os.read(ours, 4096)
    os.close(ours)
    code = process.wait(PATIENCE)
    if not leads:
        assert select.select([reading], [], [], PATIENCE)[0], "it goes on"
        code = int(status.read_text())
    os.close(reading)
    assert code == 128 + signal.SIGHUP
    assert os.listdir(tmp_path / "tmp") == []
