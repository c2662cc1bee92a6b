"""What each package manager answers, and that nobody else knows of any."""

import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from builder.distros import package_manager
from builder.distros.package_manager import (
    TABLE,
    InstalledPackage,
    NoPackages,
    PackageManager,
    PackageWork,
)
from builder.host.overlayfs.layered import Layers
from builder.runtime.diff.ignored import ignored_paths, matches
from builder.runtime.upgrade.merge import rule_of
from tests.support.oven import CHECKOUT

RUNTIME = CHECKOUT / "builder/runtime"
WORDS = re.compile(
    r"(?<![a-z])(dpkg|apt|apt-get|rpm|rpmdb|dnf|yum|apk|pacman)(?![a-z])", re.IGNORECASE
)

EVERY: tuple[PackageManager, ...] = (
    NoPackages(),
    *(getattr(import_module(row.module), row.kind)() for row in TABLE),
)
KNOWN = EVERY[1:]


def test_a_container_knows_no_package_manager() -> None:
    """What one of them is like stands in `builder/distros` alone."""
    found = [
        f"{path.relative_to(RUNTIME)}:{number}: {line.strip()}"
        for path in sorted(RUNTIME.rglob("*.py"))
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if WORDS.search(line)
    ]
    assert found == []


FREQUENT = (
    "builder.runtime.lifecycle.control builder.runtime.access.exec builder.runtime.inspect.show"
)
LOADED = f"""
import sys
for name in {FREQUENT.split()}:
    __import__(name)
print([name for name in sys.modules if name.startswith("builder.distros")])
"""


def test_who_starts_a_container_loads_no_package_manager() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADED], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("manager", EVERY)
def test_each_answers_for_a_tree_that_has_nothing(manager: PackageManager) -> None:
    assert manager.installed(lambda _: None) == {}
    assert manager.contents(lambda _: None, ()).files == set()
    assert manager.finish(PackageWork()) == ()


@pytest.mark.parametrize("manager", KNOWN)
def test_each_installs_marks_and_removes(manager: PackageManager) -> None:
    commands = manager.finish(PackageWork(("one", "two"), ("two",), ("three",), ("etc/one.conf",)))
    for verb, names in (("install", ["one", "two"]), ("remove", ["three"])):
        (command,) = (words for words in commands if verb in words)
        assert list(command[-len(names) :]) == names
    assert any(words[-1] == "two" and "three" not in words for words in commands)
    assert all("=" in words[0] for words in commands), "nothing of the host's environment"


@pytest.mark.parametrize(("row", "manager"), list(zip(TABLE, KNOWN, strict=True)))
def test_the_tables_are_the_templates(
    row: package_manager.ManagerRow, manager: PackageManager
) -> None:
    """Tables that tell of other files than those that are there are of no use."""
    assert {rule_of(path, manager.own) for path in row.tables} == {"database"}
    assert all(one.reason for one in manager.own)


IGNORED = (
    "var/lib/dpkg/lock-frontend", "var/lib/dpkg/status-old", "var/lib/apt/lists/x_Packages",
    "var/lib/rpm/rpmdb.sqlite-wal", "var/lib/rpm/.rpm.lock", "usr/lib/sysimage/rpm/.rpm.lock",
    "usr/lib/sysimage/libdnf5/transaction_history.sqlite", "var/lib/dnf/history.sqlite",
)  # fmt: skip


@pytest.mark.parametrize("path", IGNORED)
def test_what_changes_by_itself(path: str) -> None:
    (answer,) = (one for one in KNOWN if matches(path, ignored_paths(one)))
    assert not matches(path, ignored_paths(NoPackages()))
    assert answer.own


@pytest.mark.parametrize("row", TABLE)
def test_a_tree_is_asked_for_its_tables(tmp_path: Path, row: package_manager.ManagerRow) -> None:
    tables = tmp_path / "below" / row.tables[0]
    tables.parent.mkdir(parents=True)
    tables.write_bytes(b"")
    (tmp_path / "upper").mkdir()
    with Layers((tmp_path / "upper",), tmp_path / "below") as layers:
        assert type(package_manager.package_manager(layers)).__name__ == row.kind
        assert not package_manager.changes(layers), "nobody is asked about what nobody changed"


def test_a_manager_that_nobody_knows_is_told(tmp_path: Path) -> None:
    for layer, text in (("below", "old"), ("upper", "new")):
        (tmp_path / layer / "lib/apk/db").mkdir(parents=True)
        (tmp_path / layer / "lib/apk/db/installed").write_text(text)
    with Layers((tmp_path / "upper",), tmp_path / "below") as layers:
        assert type(package_manager.package_manager(layers)) is NoPackages
        assert package_manager.unread_changes(layers) == "lib/apk/db/installed"


def test_differences_are_said_in_lines() -> None:
    one, other, newer = (
        InstalledPackage("one", "all", version, "one") for version in ("1", "1", "2")
    )
    key = ("one", "all")
    assert not package_manager.compare({key: one}, {key: other})
    found = package_manager.compare({key: one, ("x", "all"): one}, {key: newer, ("y", "all"): one})
    assert found.lines() == ["+ one 1", "- one 1", "~ one 1 -> 2"]
