"""The store's four rules, also when the disk dies at any operation."""

import hashlib
import os
import threading
from itertools import count
from pathlib import Path

import pytest

from builder.host.trees.durable import Disk
from builder.model.errors import HostError
from builder.model.value import Digest, digest_of
from builder.store import Store
from builder.store.manifest import TreeManifest
from tests.support.faults.disks import FailingDisk, PowerCut

DATA = b"bread"
SHA256 = hashlib.sha256(DATA).hexdigest()
KEY = digest_of("a stage's key")


def make_tree(folder: Path) -> Path:
    (folder / "etc").mkdir(parents=True)
    (folder / "etc/motd").write_text("hello\n")
    (folder / "etc/issue").symlink_to("motd")
    os.link(folder / "etc/motd", folder / "etc/motd.link")
    return folder


def work(root: Path, disk: Disk) -> None:
    """Keep one of everything, as a build would."""
    store = Store(root, disk=disk)
    with store.draft() as draft:
        (draft / "file").write_bytes(DATA)
        store.keep_blob(draft / "file", SHA256)
        digest = store.keep_tree(make_tree(draft / "tree"), epoch=10)
        store.remember(KEY, digest.encode())


def assert_rules(root: Path) -> None:
    store = Store(root)
    for blob in (store.root / "blobs").glob("*/*"):
        assert hashlib.sha256(blob.read_bytes()).hexdigest() == blob.name
    for tree in (store.root / "trees").iterdir():
        assert (tree / "root/etc/motd").read_text() == "hello\n"
        encoded = (tree / "manifest.json").read_bytes()
        assert TreeManifest.digest(encoded) == f"sha256:{tree.name}"
    remembered = store.recall(KEY)
    if remembered is not None:
        assert store.tree(Digest(remembered.decode())) is not None
    assert list((store.root / "drafts").iterdir()) == []


def test_a_power_cut_at_any_operation_leaves_the_rules_true(tmp_path: Path) -> None:
    for good in count():
        root = tmp_path / str(good)
        try:
            work(root, FailingDisk(good))
        except PowerCut:
            assert_rules(root)
            work(root, Disk())
            assert_rules(root)
        else:
            assert good > 5
            break


def test_a_full_disk_at_any_operation_is_told_and_leaves_the_rules_true(tmp_path: Path) -> None:
    for good in count():
        root = tmp_path / str(good)
        try:
            work(root, FailingDisk(good, full=True))
        except HostError as error:
            assert "no space left" in error.problem
            assert_rules(root)
        else:
            assert good > 5
            break


def test_equal_trees_have_one_name_and_one_copy(tmp_path: Path) -> None:
    store = Store(tmp_path)
    names = set()
    for name in ("one", "two"):
        with store.draft() as draft:
            names.add(store.keep_tree(make_tree(draft / name), epoch=10))
    assert len(names) == 1
    assert len(list((store.root / "trees").iterdir())) == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda tree: (tree / "etc/motd").chmod(0o600),
        lambda tree: (tree / "etc/motd").write_text("bye\n"),
        lambda tree: (tree / "etc/new").mkdir(),
        lambda tree: (tree / "etc/motd.link").unlink(),
        lambda tree: os.utime(tree / "etc/motd", (3, 3)),
    ],
)
def test_whatever_changes_in_a_tree_changes_its_name(tmp_path: Path, change: object) -> None:
    store = Store(tmp_path)
    with store.draft() as draft:
        before = store.keep_tree(make_tree(draft / "tree"), epoch=10)
    with store.draft() as draft:
        tree = make_tree(draft / "tree")
        assert callable(change)
        change(tree)
        assert store.keep_tree(tree, epoch=10) != before


def test_a_tree_of_names_that_are_not_utf8_can_be_kept(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.draft() as draft:
        tree = make_tree(draft / "tree")
        Path(os.fsdecode(os.fsencode(tree) + b"/caf\xe9")).write_text("x")
        digest = store.keep_tree(tree, epoch=10)
    assert "\0caf\xe9" in [entry.path for entry in store.tree_manifest(digest).entries]


def test_one_flight_at_a_time_for_a_key(tmp_path: Path) -> None:
    inside: list[str] = []

    def fly(name: str) -> None:
        with Store(tmp_path).flight(KEY):
            inside.append(f"{name} in")
            inside.append(f"{name} out")

    threads = [threading.Thread(target=fly, args=(str(n),)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for entered, left in zip(inside[::2], inside[1::2], strict=True):
        assert entered.split()[0] == left.split()[0]


def test_drafts_of_a_live_process_are_left_alone(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.draft() as draft:
        (draft / "mine").write_text("x")
        Store(tmp_path)
        assert (draft / "mine").exists()
    assert list((store.root / "drafts").iterdir()) == []


def test_no_time_in_a_tree_exceeds_its_epoch(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.draft() as draft:
        tree = make_tree(draft / "tree")
        os.utime(tree / "etc/issue", (5, 5), follow_symlinks=False)
        digest = store.keep_tree(tree, epoch=10)
    kept = store.tree(digest)
    assert kept is not None
    assert (kept / "etc").stat().st_mtime == 10
    assert (kept / "etc/issue").lstat().st_mtime == 5
