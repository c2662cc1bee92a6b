"""Folders are removed whole, and nothing outside of them is."""

import os
import sys
from pathlib import Path

from builder.host.trees.removal import remove_tree


def test_a_folder_goes_with_all_that_is_in_it(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("kept")
    tree = tmp_path / "tree"
    (tree / "a/b").mkdir(parents=True)
    (tree / "a/file").write_text("x")
    (tree / "a/b/out").symlink_to(outside)
    os.mkfifo(tree / "a/fifo")
    Path(os.fsdecode(os.fsencode(tree) + b"/caf\xe9")).write_text("x")
    remove_tree(tree)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["outside"]
    assert (outside / "file").read_text() == "kept"


def test_what_is_not_there_is_no_error(tmp_path: Path) -> None:
    remove_tree(tmp_path / "nothing")
    remove_tree(tmp_path / "nothing/at/all")


def test_a_link_is_removed_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder")
    remove_tree(tmp_path / "link")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_no_nesting_is_too_deep(tmp_path: Path) -> None:
    # Longer than a path may be, deeper than Python recurses, more folders than may be open.
    depth = sys.getrecursionlimit() + 100
    top = tmp_path / "deep"
    top.mkdir()
    here = os.open(top, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d" * 100, dir_fd=here)
        inner = os.open("d" * 100, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)
    remove_tree(top)
    assert list(tmp_path.iterdir()) == []
