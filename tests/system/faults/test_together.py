"""Several builds at once, and one of them killed: each thing is made once, and nothing is left."""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.builds.miniature import World, small_recipe, small_world
from tests.support.faults.operations import Operation
from tests.support.hosts.traces import Traces, left_over
from tests.support.needs import needs
from tests.support.oven import text, wait_for_line
from tests.support.packages.archive import Archive, Mirror

pytestmark = needs("root", "program:bwrap", "program:apt-ftparchive", "library:libseccomp.so.2")


@pytest.fixture
def world(disk: Path, miniature: tuple[Archive, Mirror]) -> Iterator[World]:
    world = small_world(disk / f"together-{os.urandom(3).hex()}", *miniature)
    before = Traces.of(world.home)
    yield world
    assert left_over(world.home, before) == {}
    assert world.wrong() == []
    shutil.rmtree(world.folder)


@pytest.fixture(scope="module")
def alone(disk: Path, miniature: tuple[Archive, Mirror]) -> str:
    """The hash of what one build by itself makes."""
    return small_world(disk / "alone", *miniature).sha256()


def start(world: World, *names: str) -> "subprocess.Popen[bytes]":
    recipes = [world.folder / f"recipes/{name}.toml" for name in names]
    return world.oven.start("build", "--no-probe", "--explain", "-o", world.out, *recipes)


def said(process: "subprocess.Popen[bytes]") -> str:
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, text(output)
    return text(output)


def packed(world: World, name: str) -> bytes:
    return (world.out / f"{name}_amd64.tar.zst").read_bytes()


@pytest.mark.parametrize("names", [["small"] * 2, ["small", "other"] * 2])
def test_builds_at_once_make_each_thing_once(world: World, alone: str, names: list[str]) -> None:
    small_recipe(world.folder, "plain", name="other")
    processes = [start(world, name) for name in names]
    outputs = [text(one.communicate(timeout=300)[0]) for one in processes]
    together = "".join(outputs)
    assert [one.returncode for one in processes] == [0] * len(names), together
    for stage in ("bootstrap bookworm", *(f"pack {name}" for name in set(names))):
        lines = [line.split() for line in together.splitlines() if line.startswith(f"  {stage}")]
        assert [line[2] for line in lines].count("runs") == 1, together
        assert len(lines) == names.count(stage.split()[1]) or "bootstrap" in stage, together
    assert world.sha256() == alone


def test_another_build_takes_over_from_one_that_is_killed(world: World, alone: str) -> None:
    first = start(world, "small")
    wait_for_line(first, "bootstrap bookworm ...")
    first.send_signal(signal.SIGSTOP)
    second = start(world, "small")
    wait_until_blocked(second.pid)
    first.kill()
    first.communicate()
    assert "bootstrap bookworm          runs" in said(second)
    assert world.sha256() == alone


@pytest.mark.parametrize("wanted", [0, 1])
def test_a_template_without_a_name_yet_is_not_pruned(world: World, alone: str, wanted: int) -> None:
    """Another build ends, and prunes, between the import of a template and its naming."""
    small_recipe(world.folder, "plain", name="other")
    locks: list[Operation] = []
    imported: list[Operation] = []

    def meanwhile(operation: Operation, number: int) -> int:
        whole = re.fullmatch("/home/templates/[0-9a-f]{64}", operation.path)
        if operation.call == "rename" and whole:
            imported.append(operation)
        elif imported and operation.path == "/home/templates/lock":
            locks.append(operation)
            if len(locks) == wanted + 1:
                said(start(world, "other"))
        return 0

    seen = world.build(meanwhile)
    assert len(locks) > wanted
    assert seen.code == 0, seen.stderr
    assert world.sha256() == alone
    assert {path.stem for path in (world.home / "templates/names").iterdir()} == {"small", "other"}


def wait_until_blocked(pid: int) -> None:
    """Wait until a process waits for somebody else's lock (proc_locks(5))."""
    deadline = time.monotonic() + 60
    while not any(
        line.split()[1] == "->" and line.split()[5] == str(pid)
        for line in Path("/proc/locks").read_text().splitlines()
    ):
        assert time.monotonic() < deadline, "it never waited"
        time.sleep(0.02)
