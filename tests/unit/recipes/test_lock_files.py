"""Lock files: reviewable, checked when read, and used by clear rules."""

import os
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest

from builder.model.errors import RecipeError
from builder.model.lock import AskedLayer, Lock
from builder.model.progress import Silent
from builder.model.recipe import Arch
from builder.recipes.lock_files import (
    FRESH,
    LockFiles,
    committed_lock,
    forget,
    format_lock,
    lock_for,
    lock_path,
    read_lock,
    stale_keys,
    write_lock,
)
from tests.support.builds.locks import ASKED, lock


@dataclass
class Notes(Silent):
    """Remembers what was said."""

    lines: list[str] = field(default_factory=list)

    def say(self, line: str, /) -> None:
        self.lines.append(line)


@dataclass
class Maker:
    """Makes locks and counts them."""

    result: Lock
    calls: int = 0
    keep: Lock | None = None

    def __call__(self, keep: Lock | None) -> Lock:
        self.calls += 1
        self.keep = keep
        return self.result


@pytest.fixture
def files(tmp_path: Path) -> LockFiles:
    return LockFiles("debian-bookworm", tmp_path / "debian-bookworm.lock", tmp_path / "cache")


def test_there_and_back(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    write_lock(path, lock())
    assert read_lock(path) == lock()
    assert path.read_text().endswith("}\n")
    assert list(tmp_path.iterdir()) == [path]


def test_a_new_version_is_a_small_diff() -> None:
    old, new = format_lock(lock()).splitlines(), format_lock(lock(version="1.1")).splitlines()
    changed = [line for line, other in zip(old, new, strict=True) if line != other]
    assert len(changed) == 4  # two packages: the line with the version, and the path
    assert max(map(len, old)) < 140


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('"size": 7', '"size": "7"', r"expected `int`.*packages\[0\]\.size"),
        ('"path": "pool', '"path": "../../pool', "path"),
        ('"epoch"', '"epoc"', "unknown field `epoc`"),
        ('"bookworm"', '"trixie"', "not the digest of"),
        ("\n}\n", "", "truncated"),
    ],
)
def test_damage_is_told(tmp_path: Path, old: str, new: str, problem: str) -> None:
    path = tmp_path / "a.lock"
    text = format_lock(lock())
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(RecipeError, match=f"the lock file is damaged: .*{problem}") as caught:
        read_lock(path)
    assert caught.value.at is not None
    assert caught.value.at.path == path


def test_stale_keys() -> None:
    more = AskedLayer(recipe="debian-bookworm", install=("nginx",), recommends=True)
    asked = msgspec.structs.replace(ASKED, suite="trixie", layers=(more,))
    assert stale_keys(lock(), asked) == ("base.suite", "packages.install", "packages.recommends")
    higher = msgspec.structs.replace(ASKED, layers=(*ASKED.layers, AskedLayer(recipe="web")))
    assert stale_keys(lock(), higher) == ("from",)
    assert stale_keys(lock(), ASKED) == ()


def test_committed_lock_is_used(files: LockFiles) -> None:
    write_lock(files.committed, lock())
    make, notes = Maker(lock(version="2.0")), Notes()
    assert lock_for(ASKED, files, make, notes, now=0) == lock()
    assert committed_lock(ASKED, files) == lock()
    assert (make.calls, notes.lines) == (0, [])


def test_stale_lock_is_made_anew(files: LockFiles) -> None:
    write_lock(files.committed, lock())
    other = AskedLayer(recipe="debian-bookworm", install=("dbus",))
    asked = msgspec.structs.replace(ASKED, layers=(other,))
    make, notes = Maker(lock(asked)), Notes()
    assert lock_for(asked, files, make, notes, now=0) == lock(asked)
    assert read_lock(files.committed) == lock(asked)
    assert make.keep == lock()
    (line,) = notes.lines
    assert line.startswith("the lock of debian-bookworm is stale (`packages.install`): ")


def test_locked_refuses_a_stale_lock(files: LockFiles) -> None:
    write_lock(files.committed, lock())
    asked = msgspec.structs.replace(ASKED, suite="trixie", components=("main", "contrib"))
    with pytest.raises(RecipeError, match=r"`base\.suite`, `base\.components` changed") as caught:
        committed_lock(asked, files)
    assert caught.value.hint == "`oven lock debian-bookworm` makes it; review and commit it"
    assert read_lock(files.committed) == lock()


def test_locked_refuses_without_a_lock(files: LockFiles) -> None:
    with pytest.raises(RecipeError, match="`debian-bookworm` has no lock file"):
        committed_lock(ASKED, files)


def test_failed_resolve_leaves_the_old_lock(files: LockFiles) -> None:
    def fail(keep: Lock | None) -> Lock:
        raise RecipeError("no")

    write_lock(files.committed, lock())
    asked = msgspec.structs.replace(ASKED, suite="trixie")
    with pytest.raises(RecipeError):
        lock_for(asked, files, fail, Notes(), now=0)
    assert read_lock(files.committed) == lock()


def test_implicit_lock_lasts_a_day(files: LockFiles) -> None:
    make, notes = Maker(lock()), Notes()
    path = files.implicit(ASKED)
    assert path == files.cache / "locks/debian-bookworm-amd64.json"

    lock_for(ASKED, files, make, notes, now=1000)
    os.utime(path, (1000, 1000))
    lock_for(ASKED, files, make, notes, now=1000 + FRESH - 1)
    assert make.calls == 1
    assert notes.lines == [
        "debian-bookworm: newest package versions; no lock file",
        "debian-bookworm: package versions as of the last build; no lock file",
    ]
    lock_for(ASKED, files, make, notes, now=1000 + FRESH)
    assert make.calls == 2
    assert not files.committed.exists()


def test_implicit_lock_is_extended_but_gets_no_younger(files: LockFiles) -> None:
    path = files.implicit(ASKED)
    before = lock(msgspec.structs.replace(ASKED, layers=()))
    write_lock(path, before)
    os.utime(path, (1000, 1000))
    make, notes = Maker(lock()), Notes()
    assert lock_for(ASKED, files, make, notes, now=1000 + FRESH - 1) == lock()
    assert (make.calls, make.keep) == (1, before)
    assert read_lock(path) == lock()
    assert path.stat().st_mtime == 1000
    assert notes.lines == [
        "debian-bookworm: package versions as of the last build; no lock file",
    ]


@pytest.mark.parametrize("damage", ["{", "future"])
def test_unfit_implicit_lock_is_made_anew(files: LockFiles, damage: str) -> None:
    path = files.implicit(ASKED)
    write_lock(path, lock())
    if damage == "{":
        path.write_text("{")
    os.utime(path, (1000, 1000))
    make = Maker(lock())
    now = 0 if damage == "future" else 1001
    assert lock_for(ASKED, files, make, Notes(), now=now) == lock()
    assert (make.calls, make.keep) == (1, None)


def test_another_architecture_leaves_the_committed_lock_alone(files: LockFiles) -> None:
    write_lock(files.committed, lock())
    asked = msgspec.structs.replace(ASKED, arch=Arch.ARM64)
    make, notes = Maker(lock(asked)), Notes()
    assert lock_for(asked, files, make, notes, now=0) == lock(asked)
    assert read_lock(files.committed) == lock()
    assert read_lock(files.implicit(asked)) == lock(asked)
    assert notes.lines == [
        "debian-bookworm: newest package versions; the lock file is for amd64, not arm64"
    ]


def test_every_architecture_has_a_lock_of_its_own() -> None:
    first, both = Path("recipes/debian-bookworm.lock"), (Arch.AMD64, Arch.ARM64)
    assert lock_path(first, Arch.AMD64, both) == first
    assert lock_path(first, Arch.ARM64, both) == Path("recipes/debian-bookworm.arm64.lock")
    assert lock_path(first, Arch.ARM64, (Arch.ARM64,)) == first


def test_only_a_lock_that_nobody_asked_for_is_forgotten(files: LockFiles) -> None:
    write_lock(files.committed, lock())
    assert not forget(lock(), files)
    write_lock(files.implicit(ASKED), lock(version="2.0"))
    assert not forget(lock(), files)
    assert forget(lock(version="2.0"), files)
    assert not files.implicit(ASKED).exists()
    assert read_lock(files.committed) == lock()


def test_a_folder_in_the_place_of_a_lock(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="the lock file cannot be read: is a directory"):
        read_lock(tmp_path)
