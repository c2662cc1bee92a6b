"""Snapshots of real containers: made, gone back to, removed, merged, and repaired after a death."""

import os
import signal
import stat
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from builder.host.kernel import cgroups
from builder.host.units import Systemd
from builder.model.errors import ConflictError, NotFoundError, RecipeError
from builder.model.progress import Silent
from builder.runtime.access.exec import capture
from builder.runtime.history import schedule, snapshots
from builder.runtime.lifecycle import control, create
from builder.runtime.record.container import all_names, load
from builder.runtime.record.layout import cgroup_of
from builder.runtime.storage import change, layers
from builder.templates.local import Templates
from tests.support.containers.rig import DIGEST, Rig
from tests.support.faults.steps import at_each_step
from tests.support.needs import needs

pytestmark = needs("root", "program:runc", "program:conmon")


@pytest.fixture
def rig(rig: Rig) -> Iterator[Rig]:
    yield rig
    assert pending(rig) == []


@pytest.fixture
def stopped(rig: Rig) -> Rig:
    create.create(rig.places, rig.container())
    return rig


def pending(rig: Rig) -> list[str]:
    """Name what changes have left in the folders of containers."""
    containers = rig.places.data / "containers"
    found = [*containers.glob("*/change.json"), *containers.glob("*/drafts"),
             *containers.glob("*/.*.new"), *containers.glob("*/snapshots/.*")]  # fmt: skip
    return [str(path) for path in found]


def folder(rig: Rig) -> Path:
    return rig.places.data / "containers/test"


def put(rig: Rig, name: str, text: str) -> None:
    """Change a file of a stopped container, as it would itself."""
    (folder(rig) / "upper" / name).write_text(text)


def seen(rig: Rig, *names: str) -> str:
    """Start the container, read files inside, and stop it again."""
    control.start(rig.places, "test", Silent())
    said = capture(rig.places, "test", ("cat", *names))[1]
    control.stop(rig.places, "test", timeout=20)
    return said


def run(rig: Rig, script: str) -> str:
    code, said = capture(rig.places, "test", ("sh", "-c", script))
    assert code == 0, said
    return said


def test_a_stopped_container_goes_back_and_forth(stopped: Rig) -> None:
    put(stopped, "a", "1\n")
    assert snapshots.create(stopped.places, "test", "one") == "one"
    put(stopped, "a", "2\n")
    put(stopped, "b", "new\n")
    assert seen(stopped, "/a", "/b") == "2\nnew\n"
    before = snapshots.restore(stopped.places, "test", "one")
    assert before is not None
    assert before.startswith("before-restore-")
    assert seen(stopped, "/a") == "1\n"
    snapshots.restore(stopped.places, "test", before, discard=True)
    assert seen(stopped, "/a", "/b") == "2\nnew\n"
    assert list(snapshots.listed(stopped.places, "test")) == ["one", before]


def test_a_snapshot_of_a_stopped_container_moves_and_copies_nothing(stopped: Rig) -> None:
    put(stopped, "large", "x" * (1 << 20))
    inode = (folder(stopped) / "upper/large").stat().st_ino
    (folder(stopped) / "upper").chmod(0o751)
    snapshots.create(stopped.places, "test", "one")
    (layer,) = load(stopped.places, "test").layers
    assert (folder(stopped) / "layers" / layer / "large").stat().st_ino == inode
    upper = (folder(stopped) / "upper").stat()
    assert (stat.S_IMODE(upper.st_mode), upper.st_uid) == (0o751, 0)
    assert list((folder(stopped) / "upper").iterdir()) == []
    snapshots.create(stopped.places, "test", "two")
    assert load(stopped.places, "test").layers == (layer,), "nothing has changed between the two"


def test_a_running_container_is_kept_as_it_was_at_one_moment(stopped: Rig) -> None:
    control.start(stopped.places, "test", Silent())
    run(stopped, "echo 1 > /a; ln /a /b 2>/dev/null || true; echo gone > /tmp/x")
    snapshots.create(stopped.places, "test", "one")
    assert not cgroups.is_frozen(cgroup_of(stopped.places, "test"))
    run(stopped, "echo 2 > /a")
    assert load(stopped.places, "test").layers == (), "the running one goes on with its own"
    with pytest.raises(ConflictError, match="is running"):
        snapshots.restore(stopped.places, "test", "one")
    control.stop(stopped.places, "test", timeout=20)
    snapshots.restore(stopped.places, "test", "one", discard=True)
    assert seen(stopped, "/a", "/tmp/x") == "1\ngone\n"


def test_all_files_are_of_one_moment(stopped: Rig) -> None:
    """A program writes one number to a hundred files, then the next: no two may be apart more."""
    control.start(stopped.places, "test", Silent())
    names = " ".join(f"/f{number:02}" for number in range(100))
    script = f"n=0; while :; do n=$((n+1)); for f in {names}; do echo $n > $f; done; done"
    run(stopped, f"({script}) > /dev/null 2>&1 & while ! [ -e /f99 ]; do :; done")
    for turn in range(5):
        snapshots.create(stopped.places, "test", f"s{turn}")
        (layer,) = snapshots.listed(stopped.places, "test")[f"s{turn}"].layers
        files = sorted((folder(stopped) / "layers" / layer).glob("f??"))
        found = [text for path in files if (text := path.read_text())]
        numbers = list(map(int, found))
        assert len(numbers) >= 99, "one may have been open and empty"
        assert numbers == sorted(numbers, reverse=True)
        assert numbers[0] - numbers[-1] <= 1


def test_a_container_that_a_person_halted_stays_so(stopped: Rig) -> None:
    control.start(stopped.places, "test", Silent())
    cgroup = cgroup_of(stopped.places, "test")
    put(stopped, "a", "1\n")
    cgroups.freeze(cgroup, frozen=True)
    snapshots.create(stopped.places, "test", "one")
    assert cgroups.is_frozen(cgroup)
    cgroups.freeze(cgroup, frozen=False)


def test_what_was_deleted_and_replaced_comes_back(stopped: Rig, tree: Path) -> None:
    control.start(stopped.places, "test", Silent())
    snapshots.create(stopped.places, "test", "fresh")
    run(stopped, ": > /etc/group")
    control.stop(stopped.places, "test", timeout=20)
    snapshots.create(stopped.places, "test", "changed")
    os.mknod(folder(stopped) / "upper/tmp", 0o600 | stat.S_IFCHR, 0)
    snapshots.create(stopped.places, "test", "deleted")
    control.start(stopped.places, "test", Silent())
    assert capture(stopped.places, "test", ("ls", "/tmp"))[0] != 0
    control.stop(stopped.places, "test", timeout=20)
    snapshots.restore(stopped.places, "test", "fresh", discard=True)
    assert seen(stopped, "/etc/group") == (tree / "etc/group").read_text()


def test_layers_go_with_the_last_that_needs_them(stopped: Rig) -> None:
    for name in ("one", "two", "three"):
        put(stopped, name, name)
        snapshots.create(stopped.places, "test", name)
    kept = load(stopped.places, "test").layers
    snapshots.restore(stopped.places, "test", "one", discard=True)
    snapshots.remove(stopped.places, "test", ("three",))
    assert {path.name for path in (folder(stopped) / "layers").iterdir()} == set(kept[1:])
    snapshots.remove(stopped.places, "test", ("two", "one"))
    assert {path.name for path in (folder(stopped) / "layers").iterdir()} == set(kept[2:])
    assert seen(stopped, "/one") == "one"


def test_many_layers_are_merged_without_a_copy(
    stopped: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layers, "MOST", 3)
    for number in range(4):
        put(stopped, f"f{number}", f"{number}\n")
        put(stopped, "same", f"{number}\n")
        snapshots.create(stopped.places, "test", f"s{number}")
    (merged,) = load(stopped.places, "test").layers
    assert seen(stopped, "/f0", "/f1", "/f2", "/f3", "/same") == "0\n1\n2\n3\n3\n"
    first = snapshots.listed(stopped.places, "test")["s0"].layers[0]
    area = folder(stopped) / "layers"
    assert (area / first / "f0").stat().st_ino == (area / merged / "f0").stat().st_ino
    snapshots.restore(stopped.places, "test", "s1", discard=True)
    assert seen(stopped, "/same") == "1\n"


def test_refusals(stopped: Rig) -> None:
    snapshots.create(stopped.places, "test", "one")
    with pytest.raises(ConflictError, match="has a snapshot `one` already"):
        snapshots.create(stopped.places, "test", "one")
    with pytest.raises(NotFoundError, match="has no snapshot `two`"):
        snapshots.restore(stopped.places, "test", "two")
    with pytest.raises(NotFoundError, match="has no snapshot `two`"):
        snapshots.remove(stopped.places, "test", ("one", "two"))
    with pytest.raises(RecipeError, match="cannot name"):
        snapshots.create(stopped.places, "test", "../evil")
    assert list(snapshots.listed(stopped.places, "test")) == ["one"]


def test_a_template_is_used_by_snapshots_too(stopped: Rig) -> None:
    snapshots.create(stopped.places, "test", "one")
    record = folder(stopped) / "container.json"
    record.write_text(record.read_text().replace("ab" * 32, "cd" * 32))
    assert Templates(stopped.places.data).users(DIGEST) == ["test"]
    snapshots.remove(stopped.places, "test", ("one",))
    assert Templates(stopped.places.data).users(DIGEST) == []


def test_the_schedule_makes_what_is_due_and_keeps_no_more(stopped: Rig) -> None:
    schedule.write(stopped.places, "test", schedule.Schedule(every=3600, keep=2))
    snapshots.create(stopped.places, "test", "mine")
    made = dict(schedule.due(stopped.places))
    name = made["test"]
    assert isinstance(name, str)
    assert name.startswith("auto-")
    now = float(snapshots.listed(stopped.places, "test")[name].created)
    assert dict(schedule.due(stopped.places, now + 1800)) == {}
    for turn in (1, 2):
        assert "test" in dict(schedule.due(stopped.places, now + 3600 * turn))
    found = snapshots.listed(stopped.places, "test")
    assert [one.kind for one in found.values()].count("scheduled") == 2
    assert "mine" in found
    assert name not in found
    schedule.write(stopped.places, "test", None)
    assert dict(schedule.due(stopped.places, now + 1e6)) == {}


def test_a_schedule_without_systemd_is_told_as_a_line_of_crontab(
    stopped: Rig, tmp_path: Path
) -> None:
    places = msgspec.structs.replace(stopped.places, user=1005)
    none = Systemd(tmp_path, tmp_path / "none", tmp_path)
    assert schedule.settle(places, none) is None, "there is no schedule"
    schedule.write(stopped.places, "test", schedule.Schedule(every=3600, keep=2))
    note = schedule.settle(places, none)
    assert note is not None
    assert f"crontab does what it would: */5 * * * * OVEN_HOME={stopped.places.data} " in note


VERBS = {
    "create": "snapshots.create(places, 'test', 'new')",
    "live": "snapshots.create(places, 'test', 'new')",
    "restore": "snapshots.restore(places, 'test', 'old')",
    "rm": "snapshots.remove(places, 'test', ('old',))",
}


@pytest.mark.exhaustive
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=["kill", "interrupt"])
@pytest.mark.parametrize("verb", list(VERBS))
@pytest.mark.parametrize("stride", [3, pytest.param(1, marks=pytest.mark.slow)])
def test_death_at_any_step_leaves_old_or_new(
    stopped: Rig, verb: str, number: signal.Signals, stride: int
) -> None:
    put(stopped, "a", "1\n")
    snapshots.create(stopped.places, "test", "old")
    put(stopped, "b", "2\n")
    code = f"from builder.runtime.history import snapshots\n{at_each_step(VERBS[verb], 0, number)}"
    if verb == "live":
        control.start(stopped.places, "test", Silent())
    came, died = False, 0
    for step in range(1, 90, stride):
        names = set(snapshots.listed(stopped.places, "test"))
        process = stopped.call(code.replace("left = 0", f"left = {step}"))
        out, err = process.communicate(timeout=60)
        if b"came through" in out:
            came = True
            break
        died += 1
        assert process.returncode != 0, err
        # Any command that takes the lock repairs; this one does nothing else.
        schedule.write(stopped.places, "test", None)
        assert pending(stopped) == [], f"{verb} died at step {step}"
        check_whole(stopped, verb, names)
    assert came
    assert died > 3, "the deaths must have hit something"


def check_whole(rig: Rig, verb: str, names: set[str]) -> None:
    """See that nothing of the container is lost, and put it back to where the verb begins."""
    now = set(snapshots.listed(rig.places, "test"))
    assert not cgroups.is_frozen(cgroup_of(rig.places, "test"))
    kept = {layer for one in snapshots.listed(rig.places, "test").values() for layer in one.layers}
    kept |= set(load(rig.places, "test").layers)
    assert {path.name for path in (folder(rig) / "layers").iterdir()} == kept
    if verb == "restore":
        wanted = {"a"} if now != names else {"a", "b"}
        assert files_of(rig, load(rig.places, "test").layers) == wanted
        for name in now - names:
            assert files_of(rig, snapshots.listed(rig.places, "test")[name].layers) >= {"a", "b"}
            snapshots.restore(rig.places, "test", name, discard=True)
    else:
        assert files_of(rig, load(rig.places, "test").layers) == {"a", "b"}
    if verb in {"create", "live"} and "new" in now:
        assert "b" in files_of(rig, snapshots.listed(rig.places, "test")["new"].layers, upper=False)
        snapshots.remove(rig.places, "test", ("new",))
        put(rig, "b", "2\n")
    if verb == "rm" and "old" not in now:
        snapshots.create(rig.places, "test", "old")
        put(rig, "b", "2\n")


def files_of(rig: Rig, kept: tuple[str, ...], *, upper: bool = True) -> set[str]:
    places = [folder(rig) / "layers" / layer for layer in kept]
    places += [folder(rig) / "upper"] if upper else []
    return {path.name for place in places for path in place.iterdir()} & {"a", "b"}


def test_a_folder_over_a_whiteout_hides_what_is_below(tmp_path: Path) -> None:
    """Merge the ways in which one layer can hide what another one has."""
    top, middle, bottom = (tmp_path / name for name in ("top", "middle", "bottom"))
    for one in (top, middle, bottom):
        one.mkdir()
    (bottom / "d/old").mkdir(parents=True)
    os.mknod(middle / "d", stat.S_IFCHR, 0)
    (top / "d/new").mkdir(parents=True)
    (middle / "o").mkdir()
    (middle / "o/kept").write_text("")
    os.setxattr(middle / "o", "trusted.overlay.opaque", b"y")
    (bottom / "o").mkdir()
    (bottom / "o/hidden").write_text("")
    (top / "o").mkdir(mode=0o700)
    (top / "o/more").write_text("")
    target = tmp_path / "merged"
    layers.merge_folders([os.fsencode(one) for one in (top, middle, bottom)], os.fsencode(target))
    assert {path.name for path in (target / "d").iterdir()} == {"new"}
    assert {path.name for path in (target / "o").iterdir()} == {"kept", "more"}
    assert stat.S_IMODE((target / "o").stat().st_mode) == 0o700
    for name in ("d", "o"):
        assert os.getxattr(target / name, "trusted.overlay.opaque") == b"y"


def test_what_is_nested_too_deeply_is_kept_in_its_own_layers(
    stopped: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layers, "MOST", 1)
    deep = os.open(folder(stopped) / "upper", os.O_RDONLY)
    for _ in range(40):
        os.mkdir("d" * 200, dir_fd=deep)
        below = os.open("d" * 200, os.O_RDONLY, dir_fd=deep)
        os.close(deep)
        deep = below
    os.close(deep)
    for number in range(4):
        put(stopped, f"f{number}", f"{number}\n")
        snapshots.create(stopped.places, "test", f"s{number}")
    assert len(load(stopped.places, "test").layers) == 4
    assert seen(stopped, "/f0", "/f3") == "0\n3\n"
    put(stopped, "more", "")
    with pytest.raises(ConflictError, match="too many layers"):
        snapshots.create(stopped.places, "test", "more")


def test_destroy_takes_snapshots_along(stopped: Rig) -> None:
    put(stopped, "a", "1")
    snapshots.create(stopped.places, "test", "one")
    control.destroy(stopped.places, "test")
    assert all_names(stopped.places) == []
    assert change.snapshots_in(folder(stopped)) == {}
