"""Manifests of trees that share files with others: the same as read from scratch, but sooner."""

import os
import random
from pathlib import Path

import pytest

from builder.host.overlayfs.fold import link_tree
from builder.model.value import Digest
from builder.store import Store
from builder.store.manifest import TreeManifest, look, read_tree
from tests.support.trees.edits import edit, make_tree

EPOCH = 1_700_000_000


def kept(store: Store, digest: Digest) -> Path:
    root = store.tree(digest)
    assert root is not None
    return root


@pytest.mark.parametrize("seed", range(12))
def test_a_tree_made_of_another_gets_the_digest_that_reading_all_of_it_gives(
    tmp_path: Path, seed: int
) -> None:
    dice = random.Random(seed)
    store, other = Store(tmp_path / "one"), Store(tmp_path / "two")
    with store.draft() as draft:
        digest = store.keep_tree(make_tree(draft / "tree", dice), epoch=EPOCH)
    for _ in range(3):
        with store.draft() as draft, other.draft() as elsewhere:
            link_tree(kept(store, digest), draft / "tree")
            edit(draft / "tree", dice)
            link_tree(draft / "tree", elsewhere / "tree")
            fresh = read_tree(draft / "tree", epoch=EPOCH)
            new = store.keep_tree(draft / "tree", epoch=EPOCH, base=digest)
            full = other.keep_tree(elsewhere / "tree", epoch=EPOCH)
        assert new == full
        assert store.tree_manifest(new).entries[1:] == fresh.entries[1:]  # the root's time is set
        digest = new


def test_a_change_that_leaves_size_and_time_as_they_were_is_seen(tmp_path: Path) -> None:
    """As an overlay leaves it: the changed file is a copy of its own."""
    store = Store(tmp_path)
    with store.draft() as draft:
        (draft / "tree").mkdir()
        (draft / "tree/file").write_bytes(b"before")
        os.utime(draft / "tree/file", (1, 1))
        base = store.keep_tree(draft / "tree", epoch=EPOCH)
    with store.draft() as draft:
        link_tree(kept(store, base), draft / "tree")
        (draft / "tree/file").unlink()
        (draft / "tree/file").write_bytes(b"after!")
        os.utime(draft / "tree/file", (1, 1))
        changed = store.keep_tree(draft / "tree", epoch=EPOCH, base=base)
    assert changed != base
    assert store.tree_manifest(changed) == read_tree(kept(store, changed), epoch=EPOCH)


def test_files_of_a_base_and_of_packages_are_not_read_again(tmp_path: Path) -> None:
    """Shown by what must never happen: the files are changed behind the store's back."""
    store = Store(tmp_path)
    with store.draft() as draft:
        (draft / "package/root").mkdir(parents=True)
        (draft / "package/root/a").write_bytes(b"package")
        package = store.keep_expanded(draft / "package", "0" * 64)
        (draft / "tree").mkdir()
        (draft / "tree/b").write_bytes(b"base")
        base = store.keep_tree(draft / "tree", epoch=EPOCH)
    with store.draft() as draft:
        link_tree(kept(store, base), draft / "tree")
        os.link(package / "root/a", draft / "tree/c")
        for name in ("b", "c"):
            with (draft / "tree" / name).open("r+b") as file:
                file.write(b"X")
        digest = store.keep_tree(draft / "tree", epoch=EPOCH, base=base, packages=["0" * 64])
    found = {one.path: one.content for one in store.tree_manifest(digest).entries}
    before = {one.path: one.content for one in store.tree_manifest(base).entries}
    assert found["b"] == before["b"]
    assert store.expanded_manifest("0" * 64) is not None
    assert found["c"] in {one.content for one in expanded(store).entries}
    assert read_tree(kept(store, digest), epoch=EPOCH) != store.tree_manifest(digest)


def expanded(store: Store) -> TreeManifest:
    manifest = store.expanded_manifest("0" * 64)
    assert manifest is not None
    return manifest


def test_packages_kept_without_a_manifest_are_read(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.draft() as draft:
        (draft / "package").mkdir()
        (draft / "package/a").write_bytes(b"x")
        package = store.keep_expanded(draft / "package", "0" * 64)
        (package.parent / "manifest.json").unlink()
        (draft / "tree").mkdir()
        os.link(package / "a", draft / "tree/a")
        digest = store.keep_tree(draft / "tree", epoch=EPOCH, packages=["0" * 64, "1" * 64])
    assert store.tree_manifest(digest) == read_tree(kept(store, digest), epoch=EPOCH)


def test_entries_come_in_the_order_of_a_tarball_with_the_root_first(tmp_path: Path) -> None:
    for name in ("a-b", "a/c", "a/b/d", "b"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    paths = [one.path for one in look(tmp_path)]
    assert paths == [b"", b"a", b"a/b", b"a/b/d", b"a/c", b"a-b", b"b"]
    manifest = read_tree(tmp_path, epoch=EPOCH)
    assert manifest.entries[0].path == "."
    (tmp_path / "a").chmod(0o700)
    before = manifest.entries[0].mode
    tmp_path.chmod(0o711)
    assert read_tree(tmp_path, epoch=EPOCH).entries[0].mode != before
