"""What goes wrong in the middle: Ctrl-C, a killed process, a full disk; then the same again."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.builds.projects import with_script
from tests.support.hosts.traces import Traces, left_over
from tests.support.needs import needs
from tests.support.oven import Oven, end, kill, wait_for_line
from tests.system.conftest import Built

pytestmark = needs("root", "archive")


@pytest.fixture
def packages(oven: Oven, built: Built) -> Path:
    """The folder of everything that was ever downloaded, so that the mirror is asked only once."""
    built("debian-bookworm")
    return oven.home / "cache/v1/blobs"


@pytest.fixture
def lonely(oven: Oven, packages: Path, disk: Path) -> Iterator[Oven]:
    """The command with a home of its own, where packages are all that is known."""
    home = disk / f"lonely-{os.urandom(3).hex()}"
    supply(home, oven)
    before = Traces.of(home)
    yield replace(oven, home=home)
    assert left_over(home, before) == {}
    shutil.rmtree(home)


def supply(home: Path, oven: Oven) -> None:
    """Put every package file into a store, and the lock that names them."""
    store = home / "cache/v1"
    store.mkdir(parents=True)
    subprocess.run(["cp", "-al", oven.home / "cache/v1/blobs", store], check=True)
    subprocess.run(["cp", "-a", oven.home / "cache/locks", home / "cache"], check=True)


def customized(folder: Path) -> Path:
    """Write the small recipe with a script, since only then there is something to customize."""
    return with_script(folder, "touch /etc/customized")


def sha256_of_tiny(oven: Oven, folder: Path) -> str:
    """Build the small recipe undisturbed."""
    return oven.sha256(customized(folder), "--no-probe")


@pytest.mark.parametrize("moment", ["bootstrap", "customize", "pack"])
def test_an_interrupted_build_leaves_nothing(lonely: Oven, tmp_path: Path, moment: str) -> None:
    before = Traces.of(lonely.home)
    process = lonely.start("build", "--no-probe", "--explain", customized(tmp_path))
    wait_for_line(process, moment)
    time.sleep(0.05)  # into the middle of it
    code, said = end(process, signal.SIGINT)
    assert code == 130
    assert "interrupted" in said
    assert "Traceback" not in said
    assert left_over(lonely.home, before) == {}
    assert not (lonely.home / "templates/names/tiny.json").exists()


def test_an_interrupted_script_is_gone(lonely: Oven, tmp_path: Path) -> None:
    before = Traces.of(lonely.home)
    recipe = with_script(tmp_path, "exec sleep 4242")
    process = lonely.start("build", "--no-probe", recipe)
    wait_for_process("sleep\0004242\0")
    code, _ = end(process, signal.SIGINT)
    assert code == 130
    assert left_over(lonely.home, before) == {}
    assert not list(processes("sleep\0004242\0"))


def processes(cmdline: str) -> Iterator[Path]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if path.read_text() == cmdline:
                yield path


def wait_for_process(cmdline: str) -> None:
    deadline = time.monotonic() + 120
    while not any(processes(cmdline)):
        assert time.monotonic() < deadline, f"{cmdline!r} never ran"
        time.sleep(0.05)


def test_a_build_killed_at_many_moments_ends_well_in_the_end(
    oven: Oven, lonely: Oven, tmp_path: Path
) -> None:
    expected = sha256_of_tiny(oven, tmp_path)
    before = Traces.of(lonely.home)
    for moment in ("bootstrap", "customize", "pack"):
        for delay in (0.0, 0.3):
            process = lonely.start("build", "--no-probe", "--explain", customized(tmp_path))
            wait_for_line(process, moment)
            time.sleep(delay)
            kill(process)
    assert sha256_of_tiny(lonely, tmp_path) == expected
    assert left_over(lonely.home, before) == {}


@pytest.fixture
def small(oven: Oven, packages: Path, disk: Path) -> Iterator[Oven]:
    """The command with a home on a disk of its own, one megabyte large."""
    home = disk / f"small-{os.urandom(3).hex()}"
    home.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1M", "oven-test", str(home)]
    subprocess.run(mount, check=True)
    yield replace(oven, home=home)
    subprocess.run(["umount", str(home)], check=True)


SIZES = (2, 15, 50, 90, 150, 190, 210, 225, 235, 245, 255, 270, 1500)
"""Megabytes that a disk has: each stage is hit by some of them, and the last is enough."""


def test_a_full_disk_at_many_moments_is_told_and_more_room_mends_it(
    oven: Oven, small: Oven, tmp_path: Path
) -> None:
    expected = sha256_of_tiny(oven, tmp_path)
    oven("lock", "-o", tmp_path / "recipes/tiny.lock", tmp_path / "recipes/tiny.toml")
    full = 0
    while (done := build_in(small, SIZES[full], tmp_path)).returncode != 0:
        assert_told(done)
        full += 1
    assert full >= 4
    assert json.loads(done.stdout)[0]["sha256"] == expected


def test_a_full_disk_while_resolving_is_told_and_not_blamed_on_the_mirror(
    small: Oven, tmp_path: Path
) -> None:
    done = build_in(small, 30, tmp_path)
    assert_told(done)
    assert "another mirror" not in done.stderr


def assert_told(done: "subprocess.CompletedProcess[str]") -> None:
    assert done.returncode in {3, 6}, done.stderr
    assert "no space left" in done.stderr.lower(), done.stderr
    assert "Traceback" not in done.stderr


def build_in(oven: Oven, megabytes: int, folder: Path) -> "subprocess.CompletedProcess[str]":
    """Build with so much room for all that is kept."""
    resize = ["mount", "-o", f"remount,size={megabytes}M", str(oven.home)]
    subprocess.run(resize, check=True)
    return subprocess.run(
        oven.line("build", "--no-probe", "--json", customized(folder)),
        cwd=oven.cwd,
        env=oven.environment,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("delay", [0.0, 0.1, 0.2, 0.4, 0.8])
def test_a_start_that_was_killed_is_repaired_by_the_next(
    oven: Oven, built: Built, fresh_name: str, delay: float
) -> None:
    built("debian-bookworm")
    before = Traces.of(oven.home)
    oven("create", fresh_name, "debian-bookworm")
    process = oven.start("start", fresh_name)
    time.sleep(delay)
    kill(process)
    oven("start", fresh_name)
    state = oven("exec", fresh_name, "--", "systemctl", "is-system-running")
    assert state.stdout == b"running\n"
    oven("stop", fresh_name)
    oven("destroy", fresh_name)
    assert left_over(oven.home, before) == {}


def test_an_interrupted_start_leaves_a_stopped_container(
    oven: Oven, built: Built, fresh_name: str
) -> None:
    built("debian-bookworm")
    before = Traces.of(oven.home)
    oven("create", fresh_name, "debian-bookworm")
    process = oven.start("start", fresh_name)
    state = oven.home / "run/containers" / fresh_name / "state.json"
    deadline = time.monotonic() + 60
    while not state.exists():
        assert time.monotonic() < deadline
        time.sleep(0.005)
    end(process, signal.SIGINT)
    facts = oven.json("show", fresh_name)
    oven("destroy", "--force", fresh_name)
    assert isinstance(facts, dict)
    # One that was ready by then has been started.
    assert facts["status"] == ("running" if facts["ready"] else "stopped")
    assert process.returncode != 0 or facts["ready"]
    assert left_over(oven.home, before) == {}


def test_a_killed_run_leaves_nothing_that_runs(oven: Oven, built: Built) -> None:
    built("debian-bookworm")
    before = Traces.of(oven.home)
    process = oven.start("run", "debian-bookworm", "--", "sh", "-c", "echo up; sleep 600")
    wait_for_line(process, "up")
    kill(process)
    oven("run", "--network", "none", "debian-bookworm", "--", "true")
    assert left_over(oven.home, before) == {}
