"""No user of the host has ids of a container, or that user's processes are its root."""

import json
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from builder.model.progress import Silent
from builder.runtime.access.exec import capture
from builder.runtime.lifecycle import control, create
from builder.runtime.record.container import IDS, load, save
from tests.support.containers.rig import PREAMBLE, Rig
from tests.support.needs import needs
from tests.support.oven import CHECKOUT

pytestmark = needs("root", "program:runc", "program:conmon")

DEBIANS = (100_000, 65_536, 600_100_000)
"""What useradd begins at, gives to each user, and ends at (login.defs(5))."""
GIVEN = """
mount --bind "$1" /etc/subuid; mount --bind "$2" /etc/subgid; shift 2; exec "$@"
"""
"""Other tables of users for one command; the machine's own stay as they are."""


@pytest.fixture
def rig(rig: Rig) -> Rig:
    create.create(rig.places, rig.container())
    return rig


def first_of(rig: Rig) -> int:
    return load(rig.places, "test").first_id


def given(folder: Path, kind: str, line: str, *argv: str) -> "subprocess.CompletedProcess[str]":
    """Run a command on a host where a user has been given a range."""
    tables = {"subuid": "", "subgid": "", kind: f"{line}\n"}
    for name, text in tables.items():
        (folder / name).write_text(text)
    shell = ["sh", "-ec", GIVEN, "sh", str(folder / "subuid"), str(folder / "subgid")]
    line_ = ["unshare", "--mount", "--propagation", "slave", *shell, *argv]
    env = {**os.environ, "OVEN_HOME": str(folder / "home")}
    return subprocess.run(line_, capture_output=True, text=True, cwd=CHECKOUT, env=env, timeout=60)


START = "from builder.runtime.lifecycle import control\ncontrol.start(places, 'test', Silent())\n"


def start(rig: Rig, folder: Path, kind: str, line: str) -> None:
    code = PREAMBLE.format(home=rig.places.data) + START
    done = given(folder, kind, line, sys.executable, "-c", code)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("kind", ["subuid", "subgid"])
@pytest.mark.parametrize("offset", [-IDS + 1, 0, IDS - 1], ids=["below", "same", "above"])
def test_a_range_that_a_user_was_given_is_left_at_the_next_start(
    rig: Rig, tmp_path: Path, kind: str, offset: int
) -> None:
    """H17: who had a container's range by `usermod --add-subuids` killed processes in it."""
    before = first_of(rig)
    start(rig, tmp_path, kind, f"mallory:{before + offset}:{IDS}")
    now = first_of(rig)
    assert abs(now - (before + offset)) >= IDS
    said = capture(rig.places, "test", ("cat", "/proc/self/uid_map"))[1].split()
    assert said == ["0", str(now), str(IDS)]
    assert capture(rig.places, "test", ("stat", "-c", "%u", "/etc/hostname"))[1] == "0\n"


@pytest.mark.parametrize("offset", [-IDS, IDS])
def test_a_range_beside_that_of_a_user_is_kept(rig: Rig, tmp_path: Path, offset: int) -> None:
    """H17: what nobody else has been given stays, across starts."""
    before = first_of(rig)
    start(rig, tmp_path, "subuid", f"mallory:{before + offset}:{IDS}")
    assert first_of(rig) == before


def test_what_useradd_gives_reaches_no_container(rig: Rig) -> None:
    """H17: the seventh user of a Debian host was given the range of the first container."""
    assert first_of(rig) >= DEBIANS[2]


def test_a_container_of_before_keeps_its_range(rig: Rig, tmp_path: Path) -> None:
    """H17: what an older Oven chose goes on, for as long as no user has it."""
    old = msgspec.structs.replace(load(rig.places, "test"), first_id=524_288 + 7_000 * IDS)
    save(rig.places, old)
    start(rig, tmp_path, "subuid", "ada:100000:65536")
    assert first_of(rig) == old.first_id


def test_doctor_tells_of_what_runs_with_ids_of_a_user(rig: Rig, tmp_path: Path) -> None:
    """H17: a range that is given while the container runs is told, and a restart leaves it."""
    control.start(rig.places, "test", Silent())
    line = f"mallory:{first_of(rig)}:1"
    done = given(tmp_path, "subgid", line, sys.executable, "-m", "builder", "doctor", "--json")
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    assert rows["ids of containers"]["state"] == "fail"
    assert "`mallory`" in rows["ids of containers"]["found"]
    assert rows["ids of containers"]["fix"] == "oven restart test"
