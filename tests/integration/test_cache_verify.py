"""`oven cache verify`: says what is damaged, removes it, and its status tells."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from builder.cli.verify import verify
from builder.host.places import Places
from builder.store import Store
from tests.support.needs import needs
from tests.support.odd_trees import EPOCH, make_odd_tree

pytestmark = needs("root")


def test_damage_is_named_and_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OVEN_HOME", str(tmp_path))
    store = Store(Places.of_user().cache)
    with store.draft() as draft:
        tree = store.keep_tree(make_odd_tree(draft / "tree"), epoch=EPOCH)
    root = store.tree(tree)
    assert root is not None
    done = CliRunner().invoke(verify)
    assert done.exception is None, done.exc_info
    assert (done.exit_code, done.output) == (0, "0 damaged objects\n")
    (root / "etc/hosts").write_text("127.0.0.1 elsewhere\n")
    done = CliRunner().invoke(verify)
    assert done.exit_code == 1
    assert f"trees/{tree.removeprefix('sha256:')}\n  etc/hosts\n" in done.output
    assert store.tree(tree) is None
    assert CliRunner().invoke(verify).exit_code == 0
