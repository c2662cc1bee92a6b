"""The cache while builds run: pruned all the time, and held to a size."""

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.builds.projects import project, with_script
from tests.support.needs import needs
from tests.support.oven import Oven, text
from tests.system.conftest import Built

pytestmark = needs("root", "archive")


@pytest.fixture
def alone(oven: Oven, built: Built, disk: Path) -> Iterator[Oven]:
    """The command with a home of its own, where all packages are, used long ago."""
    built("debian-bookworm")
    home = disk / f"alone-{os.urandom(3).hex()}"
    store = home / "cache/v1"
    store.mkdir(parents=True)
    subprocess.run(["cp", "-a", oven.home / "cache/v1/blobs", store], check=True)
    subprocess.run(["cp", "-a", oven.home / "cache/locks", home / "cache"], check=True)
    for path in store.glob("blobs/*/*"):
        os.utime(path, (1e9, 1e9))
    # How much room a file takes is only known once it has got it.
    subprocess.run(["sync", "--file-system", store], check=True)
    yield replace(oven, home=home)
    shutil.rmtree(home)


@pytest.mark.slow
def test_pruning_all_the_time_breaks_no_build(oven: Oven, alone: Oven, tmp_path: Path) -> None:
    recipe = with_script(tmp_path, "echo hello >/etc/motd")
    expected = oven.sha256(recipe, "--no-probe")
    oven("lock", "-o", recipe.with_suffix(".lock"), recipe)
    stop, pruned = threading.Event(), []

    def keep_pruning() -> None:
        while not stop.is_set():
            pruned.append(alone("cache", "prune", "--days", "0"))

    pruner = threading.Thread(target=keep_pruning)
    process = alone.start("build", "--no-probe", "--json", recipe)
    pruner.start()
    try:
        output, _ = process.communicate(timeout=600)
    finally:
        stop.set()
        pruner.join()
    assert process.returncode == 0, text(output)
    assert expected in text(output)
    assert len(pruned) > 3
    # Once nothing runs, nothing is held back, and nothing of the build is left but what may go.
    alone("cache", "prune", "--all")
    rows = alone.json("cache", "show")
    assert isinstance(rows, list)
    assert {row["kind"] for row in rows if row["count"]} == {"locks"}
    flights = alone.home / "cache/v1/flights"
    assert {path.name for path in flights.iterdir()} <= {"drafts"}
    assert alone.sha256(recipe, "--no-probe") == expected


def test_settings_hold_the_cache_to_a_size(alone: Oven, tmp_path: Path) -> None:
    (tmp_path / "oven").mkdir()
    (tmp_path / "oven/settings.toml").write_text('[cache]\nsize = "1K"\n')
    held = alone.having(XDG_CONFIG_HOME=str(tmp_path))
    unused = set((alone.home / "cache/v1/blobs").glob("*/*"))
    done = held("build", "--no-probe", "--json", project(tmp_path))
    assert "cache: removed" in text(done.stderr)
    left = set((alone.home / "cache/v1/blobs").glob("*/*"))
    assert left < unused | {alone.home / Path(json.loads(done.stdout)[0]["path"])}
    # What it has used stays, so that it need not be made again.
    again = held("build", "--no-probe", "--explain", project(tmp_path))
    assert "runs" not in text(again.stderr)


def test_show_and_rehearse(alone: Oven) -> None:
    shown = alone.json("cache", "show")
    assert isinstance(shown, list)
    blobs = next(row for row in shown if row["kind"] == "blobs")
    assert blobs["count"] > 50
    assert blobs["oldest-use"] == 1_000_000_000
    said = alone.json("cache", "prune", "--dry-run", "--size", "1M")
    assert isinstance(said, list)
    assert sum(row["bytes"] for row in said) > blobs["bytes"] - (1 << 20)
    assert alone.json("cache", "show") == shown
    assert alone.json("cache", "prune", "--size", "1M") == said
