"""Which paths of a tree a rule means."""

from pathlib import Path

from builder.distros.identity import matches
from builder.host.trees.treeio import TreeIO


def test_a_sign_may_stand_for_folders_and_enters_no_link(tmp_path: Path) -> None:
    for path in ("a/x/one.log", "a/y/two.log", "a/y/two.fmt", "b/z/three.log"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("")
    (tmp_path / "a/link").symlink_to("../b/z")
    (tmp_path / "a/file").write_text("")
    with TreeIO(tmp_path) as tree:
        assert sorted(matches(tree, "a/*/*.log")) == ["a/x/one.log", "a/y/two.log"]
        assert list(matches(tree, "a/*/two.fmt")) == ["a/y/two.fmt"]
        assert list(matches(tree, "none/*/*.log")) == []
        assert list(matches(tree, "a/x/*.log")) == ["a/x/one.log"]
