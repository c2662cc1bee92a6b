"""Snapshots of containers that go on working meanwhile, and are halted only at the very end."""

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from builder.host.kernel import cgroups
from builder.host.trees.changes import Found
from builder.host.trees.following import Follower
from builder.model.progress import Silent
from builder.runtime.access.exec import capture
from builder.runtime.history import clone, snapshots
from builder.runtime.lifecycle import control, create
from builder.runtime.record.layout import UPPER, cgroup_of, folder_of
from builder.runtime.storage import live
from tests.support.containers.rig import Rig
from tests.support.containers.storm import storm
from tests.support.needs import needs

pytestmark = needs("root", "program:runc", "program:conmon")

Tree = dict[str, tuple[object, ...]]


@pytest.fixture
def running(rig: Rig) -> Iterator[Rig]:
    create.create(rig.places, rig.container())
    control.start(rig.places, "test", Silent())
    yield rig
    assert not cgroups.is_frozen(cgroup_of(rig.places, "test"))
    drafts = folder_of(rig.places, "test").glob("drafts")
    assert list(drafts) == []


def described(root: Path) -> Tree:
    """Tell of all that a copy has to have; files with several names by the first of them."""
    found: Tree = {}
    first: dict[int, str] = {}
    for above, folders, names in os.walk(root):
        for name in (".", *sorted(folders + names)):
            path = Path(above, name)
            status = path.lstat()
            kind = stat.S_IFMT(status.st_mode)
            key = str(path.relative_to(root))
            data = path.read_bytes() if stat.S_ISREG(kind) else b""
            found[key] = (
                oct(status.st_mode), status.st_uid, status.st_gid, status.st_rdev,
                status.st_mtime_ns, 0 if stat.S_ISDIR(kind) else status.st_size,
                hashlib.sha256(data).hexdigest(),
                path.readlink() if stat.S_ISLNK(kind) else None,
                {one: os.getxattr(path, one, follow_symlinks=False)
                 for one in os.listxattr(path, follow_symlinks=False)},
            )  # fmt: skip
            if not stat.S_ISDIR(kind):
                found[key] += (status.st_nlink, first.setdefault(status.st_ino, key))
    return found


class Spy:
    """Looks at both trees at the end of each last pass, while the container is halted."""

    def __init__(self, rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
        self.upper = folder_of(rig.places, "test") / UPPER
        self.passes: list[tuple[int, bool]] = []
        self.copied: list[Tree] = []
        real = Follower.catch_up
        opened = Follower.__init__

        def begin(follower: Follower, source: Path, target: Path) -> None:
            self.target = target
            opened(follower, source, target)

        def spied(follower: Follower, found: Iterable[Found], *, still: bool) -> tuple[int, bool]:
            given = real(follower, found, still=still)
            self.passes.append((given[0], still))
            assert cgroups.is_frozen(cgroup_of(rig.places, "test")) == still
            if still:
                copy, original = described(self.target), described(self.upper)
                odd = [key for key, one in copy.items() if original.get(key) != one]
                assert odd == []
                assert copy.keys() == original.keys()
                self.copied.append(copy)
            return given

        monkeypatch.setattr(Follower, "__init__", begin)
        monkeypatch.setattr(Follower, "catch_up", spied)


@pytest.mark.parametrize(
    "seed", [*range(3), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(3, 40))]
)
def test_a_snapshot_in_a_storm_is_what_there_is_when_it_is_taken(
    running: Rig, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    spy = Spy(running, monkeypatch)
    monkeypatch.setattr(live, "_FEW", 0)
    with storm(running, "test", seed):
        for turn in range(8):
            snapshots.create(running.places, "test", f"s{turn}")
    assert len(spy.copied) == 8
    for turn, copy in enumerate(spy.copied):
        (layer,) = snapshots.listed(running.places, "test")[f"s{turn}"].layers
        kept = folder_of(running.places, "test") / "layers" / layer
        assert described(kept) == copy
        one, two = (int.from_bytes((kept / f"storm/memory{n}").read_bytes()[:8]) for n in "12")
        assert one - two in {0, 1}, "written through memory, one after the other"


def test_a_container_that_is_quiet_is_halted_for_no_file(
    running: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    spy = Spy(running, monkeypatch)
    script = "n=0; while [ $n -lt 300 ]; do n=$((n+1)); echo $n > /f$n; done"
    assert capture(running.places, "test", ("sh", "-c", script))[0] == 0
    snapshots.create(running.places, "test", "one")
    counts = [count for count, still in spy.passes if not still]
    assert counts[0] >= 300
    assert spy.passes[-1] == (0, True)


def test_a_clone_is_made_while_its_source_works(
    running: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    spy = Spy(running, monkeypatch)
    assert capture(running.places, "test", ("sh", "-c", "echo 1 > /a"))[0] == 0
    clone.clone(running.places, "test", clone.CloneRequest("other"), lambda _: None)
    assert [still for _, still in spy.passes] == [False, True]
    upper = folder_of(running.places, "other") / UPPER
    assert (upper / "a").read_text() == "1\n"
    assert list(upper.parent.glob(".*aside")) == []


def test_a_clock_that_is_set_back_has_all_copied_anew(
    running: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The host's clock is not ours to set: only what is read of it is another."""
    spy = Spy(running, monkeypatch)
    assert capture(running.places, "test", ("sh", "-c", "echo 1 > /a; echo 2 > /b"))[0] == 0
    readings = iter((100.0, 90.0))
    monkeypatch.setattr(live, "_ahead", lambda: next(readings))
    snapshots.create(running.places, "test", "one")
    (first, _), (last, still) = spy.passes
    assert still
    assert last >= first
