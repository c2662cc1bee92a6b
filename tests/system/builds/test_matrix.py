"""A matrix is built by one command: side by side, what is shared once, and each as if alone."""

import json
import os
import shutil
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.builds.miniature import World, small_world
from tests.support.hosts.traces import Traces, left_over
from tests.support.needs import needs
from tests.support.oven import end, text, wait_for_line
from tests.support.packages.archive import Archive, Mirror

pytestmark = needs("root", "program:bwrap", "program:apt-ftparchive", "library:libseccomp.so.2")

MATRIX = """\
include = ["parts/issue.toml"]

[template]
name = "many-{variant}"

[base]
distro = "debian"
suite = "bookworm"

[matrix]
variant = ["bare", "full"]

[profile.bare]

[profile.full.packages]
install = ["scripted"]
"""

FAILING = """
[profile.bad]
script = [{ path = "bad" }]
"""


@pytest.fixture
def world(disk: Path, miniature: tuple[Archive, Mirror]) -> Iterator[World]:
    world = small_world(disk / f"matrix-{os.urandom(3).hex()}", *miniature)
    parts = world.folder / "recipes/parts"
    parts.mkdir()
    (parts / "issue.toml").write_text('[packages]\ninstall = ["plain"]\n')
    many(world).write_text(MATRIX)
    before = Traces.of(world.home)
    yield world
    assert left_over(world.home, before) == {}
    shutil.rmtree(world.folder)


def many(world: World) -> Path:
    return world.folder / "recipes/many.toml"


def test_one_command_builds_all_and_the_base_once(world: World) -> None:
    done = world.oven("build", "--no-probe", "--explain", "--json", "-o", world.out, many(world))
    said = text(done.stderr)
    bases = [line for line in said.splitlines() if "bootstrap bookworm  " in line]
    assert [line.split("|")[1].split()[2] for line in bases].count("runs") == 1, said
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    assert set(rows) == {"many-bare", "many-full"}
    assert rows["many-full"]["packages"] == rows["many-bare"]["packages"] + 1
    for name, row in rows.items():
        assert Path(row["path"]) == world.out / f"{name}_amd64.tar.zst"
        assert f"\n{name}  built " in said
    alone = small_alone(world)
    assert alone["sha256"] == rows["many-full"]["sha256"]


def small_alone(world: World) -> dict[str, str]:
    """Build one of them while nobody else is building, in a home that knows nothing."""
    oven = replace(world.oven, home=world.folder / "alone")
    done = oven("build", "--no-probe", "--json", "--only", "variant=full", many(world))
    [row] = json.loads(done.stdout)
    assert isinstance(row, dict)
    return row


def test_one_that_fails_does_not_stop_the_others(world: World) -> None:
    many(world).write_text(MATRIX.replace('"bare", ', '"bad", "bare", ') + FAILING)
    script = world.folder / "recipes/many/bad"
    script.parent.mkdir()
    script.write_text("#!/bin/sh\nexit 3\n")
    script.chmod(0o755)
    done = world.oven("build", "--no-probe", many(world), code=6)
    said = text(done.stderr)
    assert "\nmany-bad   failed  with status 6\n" in said
    assert "\nmany-bare  built " in said
    assert "\nmany-full  built " in said
    names = {path.stem for path in (world.home / "templates/names").iterdir()}
    assert names == {"many-bare", "many-full"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_who_ends_the_command_ends_all_builds(world: World, number: signal.Signals) -> None:
    process = world.oven.start("build", "--no-probe", many(world))
    wait_for_line(process, "bootstrap bookworm ...")
    code, said = end(process, number)
    assert code == 128 + number
    assert said.endswith("\ninterrupted\n")
    assert "Traceback" not in said
    world.oven("build", "--no-probe", many(world))
    assert world.wrong() == []
