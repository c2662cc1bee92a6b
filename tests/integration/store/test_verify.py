"""`oven cache verify`: says what is damaged, removes it, and its status tells."""

from pathlib import Path

from builder.store import Store
from tests.support.needs import needs
from tests.support.oven import Oven, text
from tests.support.trees.odd_trees import EPOCH, make_odd_tree

pytestmark = needs("root")


def test_damage_is_named_and_removed(tmp_path: Path) -> None:
    oven = Oven(tmp_path)
    store = Store(tmp_path / "cache")
    with store.draft() as draft:
        tree = store.keep_tree(make_odd_tree(draft / "tree"), epoch=EPOCH)
    root = store.tree(tree)
    assert root is not None
    assert oven("cache", "verify").stdout == b"0 damaged objects\n"
    (root / "etc/hosts").write_text("127.0.0.1 elsewhere\n")
    done = oven("cache", "verify", code=1)
    assert f"trees/{tree.removeprefix('sha256:')}\n  etc/hosts\n" in text(done.stdout)
    assert store.tree(tree) is None
    oven("cache", "verify")
