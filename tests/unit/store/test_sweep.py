"""Pruning takes the longest unused first, and never what somebody uses."""

import hashlib
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from builder.cli.app import run
from builder.host.trees.durable import locked
from builder.model.value import digest_of
from builder.store import Store, indexes, use
from builder.store.sweep import PrunePolicy, Survey, prune, usage

KEY = digest_of("a stage's key")
ALL = PrunePolicy(unused_since=time.time() + 1e6)
LONG_AGO = time.time() - 1e6


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def blob(store: Store, data: bytes, *, used: float | None = None) -> str:
    sha256 = hashlib.sha256(data).hexdigest()
    with store.draft() as draft:
        (draft / "file").write_bytes(data)
        path = store.keep_blob(draft / "file", sha256)
    if used is not None:
        os.utime(path, (used, used))
    return sha256


def age(path: Path, used: float = LONG_AGO) -> Path:
    os.utime(path, (used, used))
    return path


def there(store: Store) -> list[str]:
    return [one.name for one in Survey(store).objects]


def test_what_is_recalled_counts_as_used(store: Store) -> None:
    store.remember(KEY, b"{}")
    before = time.time() - 1000
    for file in (store.root / "actions").glob("*/*"):
        age(file)
    assert store.recall(KEY) == b"{}"
    assert prune(store, PrunePolicy(before)) == []
    assert store.recall(KEY) == b"{}"


def test_what_comes_in_counts_as_used_however_old_its_bytes_are(store: Store) -> None:
    with store.draft() as draft:
        (draft / "file").write_bytes(b"old")
        age(draft / "file")
        store.keep_blob(draft / "file", "0" * 64)
    assert prune(store, PrunePolicy(time.time() - 1000)) == []


def test_the_longest_unused_goes_first_until_the_rest_fits(store: Store) -> None:
    names = [blob(store, bytes([n]) * 100_000, used=LONG_AGO + n) for n in (3, 1, 2)]
    size = Survey(store).size
    gone = prune(store, PrunePolicy(size=size - 1))
    assert [one.name for one in gone] == [names[1]]
    assert Survey(store).size == size - gone[0].size
    gone = prune(store, PrunePolicy(size=1))
    assert [one.name for one in gone] == [names[2], names[0]]
    assert there(store) == []


def test_a_file_that_two_objects_share_is_counted_once_and_freed_with_the_last(
    store: Store,
) -> None:
    for name in ("one", "two"):
        folder = store.root / "expanded" / name / "package"
        folder.mkdir(parents=True)
    one, two = (store.root / "expanded" / name for name in ("one", "two"))
    (one / "package/file").write_bytes(b"x" * 1_000_000)
    os.link(one / "package/file", two / "package/file")
    age(one, LONG_AGO), age(two, LONG_AGO + 1)
    expanded = {row.kind: row for row in usage(store)}["expanded"]
    assert expanded.count == 2
    assert 1_000_000 <= expanded.size < 1_100_000
    assert expanded.oldest == pytest.approx(LONG_AGO, abs=1)
    first, second = prune(store, ALL)
    assert (first.name, second.name) == ("one", "two")
    assert first.size < 100_000 < 1_000_000 <= second.size


def test_a_rehearsal_removes_nothing_and_says_the_same(store: Store) -> None:
    for n in range(4):
        blob(store, bytes([n]) * 50_000, used=LONG_AGO + n)
    said = prune(store, PrunePolicy(size=120_000), rehearse=True)
    assert len(there(store)) == 4
    assert len(said) == 2
    assert prune(store, PrunePolicy(size=120_000)) == said


def test_nothing_goes_that_was_touched_since_the_oldest_build_began(store: Store) -> None:
    old, mine, before = (blob(store, name.encode(), used=LONG_AGO) for name in "abc")
    with store.in_use():
        assert store.blob(mine)
        # Touched within the margin for a clock that is set back.
        age(store.root / "blobs" / before[:2] / before, time.time() - use.MARGIN / 2)
        with store.in_use():  # a build that began later does not let go of it
            assert [one.name for one in prune(store, PrunePolicy(ALL.unused_since, size=0))] == [
                old
            ]
        assert prune(store, ALL) == []
    for name in (mine, before):
        age(store.root / "blobs" / name[:2] / name)
    assert len(prune(store, ALL)) == 2


def test_the_lease_of_a_build_that_died_is_swept(store: Store) -> None:
    code = "import os, sys; from pathlib import Path; from builder.store import Store\n"
    code += "with Store(Path(sys.argv[1])).in_use(): os._exit(9)"
    done = subprocess.run([sys.executable, "-c", code, store.root.parent])
    assert done.returncode == 9
    name = blob(store, b"x", used=LONG_AGO)
    assert list((store.root / "uses").glob("lease-*"))
    assert [one.name for one in prune(store, ALL)] == [name]
    assert [path.name for path in (store.root / "uses").iterdir()] == ["gate"]


def test_what_a_build_was_given_stays_while_another_prunes(store: Store) -> None:
    stop = threading.Event()

    def keep_pruning() -> None:
        while not stop.is_set():
            prune(Store(store.root.parent), ALL)

    pruner = threading.Thread(target=keep_pruning)
    with store.in_use():
        pruner.start()
        try:
            names = [blob(store, bytes([n]), used=LONG_AGO) for n in range(100)]
            given = [path for name in names if (path := store.blob(name)) is not None]
        finally:
            stop.set()
            pruner.join()
        assert [path for path in given if not path.exists()] == []


def test_nobody_is_given_an_object_while_one_is_being_removed(store: Store) -> None:
    name = blob(store, b"x")
    given: list[Path | None] = []
    asking = threading.Thread(target=lambda: given.append(store.blob(name)))
    with use.alone(store.root):
        asking.start()
        asking.join(0.1)
        assert given == []
    asking.join()
    assert given != [None]


def test_between_looking_and_removing_nobody_begins_to_use(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = blob(store, b"x", used=LONG_AGO)
    survey = Survey.__init__

    def look_then_touch(self: Survey, store: Store) -> None:
        survey(self, store)
        assert store.blob(name)

    monkeypatch.setattr(Survey, "__init__", look_then_touch)
    assert prune(store, ALL) == []


def test_a_download_and_its_lock_are_left_alone(store: Store) -> None:
    part = store.partial / ("0" * 64 + ".part")
    part.write_text("x")
    age(part)
    with locked(store.downloading):
        assert prune(store, ALL) == []
        assert part.exists()
    assert [one.kind for one in prune(store, ALL)] == ["partial"]
    assert list(store.partial.iterdir()) == [store.downloading]
    assert {row.kind: row.count for row in usage(store)}["partial"] == 0


def test_what_is_being_written_is_left_alone(store: Store) -> None:
    draft = store.root / "actions" / "00" / ".00.json.1"
    draft.parent.mkdir()
    draft.write_text("{")
    assert prune(store, ALL) == []
    age(draft)
    assert len(prune(store, ALL)) == 1


def test_locks_of_flights_do_not_pile_up(store: Store) -> None:
    with store.flight(KEY):
        assert len(list((store.root / "flights").iterdir())) == 1
    (store.root / "flights" / "killed").touch()
    held = store.root / "flights" / "held"
    with locked(held):
        prune(store, ALL)
        assert held.exists()
    assert {path.name for path in (store.root / "flights").iterdir()} <= {"drafts", "held"}


def test_a_lock_whose_file_was_removed_keeps_the_next_one_out(tmp_path: Path) -> None:
    """Who waited for a removed lock file must not hold what nobody else can see."""
    path, inside, most = tmp_path / "lock", [0], [0]

    def work() -> None:
        for _ in range(50):
            with locked(path):
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                time.sleep(0)
                inside[0] -= 1
                path.unlink()

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]


def test_indexes_beside_the_store_are_measured_and_pruned(tmp_path: Path, store: Store) -> None:
    folder = tmp_path / "apt" / "0123"
    folder.mkdir(parents=True)
    (folder / "Packages").write_bytes(b"x" * 100_000)
    (tmp_path / "apt" / "0123.lock").touch()
    age(folder)
    row = {row.kind: row for row in indexes.usage(tmp_path)}["indexes"]
    assert (row.count, row.size >= 100_000) == (1, True)
    with locked(tmp_path / "apt" / "0123.lock"):
        assert indexes.prune(tmp_path, unused_since=time.time()) == []
    assert [one.name for one in indexes.prune(tmp_path, unused_since=time.time())] == ["0123"]
    assert list((tmp_path / "apt").iterdir()) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--days", "-1"), "x>=0"),
        (("--size", "many"), "`--size many` is not a size"),
        (("--all", "--days", "3"), "say nothing more"),
    ],
)
def test_what_prune_cannot_mean(
    words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["cache", "prune", *words]) == 2
    assert said in capsys.readouterr().err
