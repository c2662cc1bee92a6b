"""Drafts of the store go, whatever comes in the middle of their removal."""

from pathlib import Path

import pytest

from builder.host.trees.removal import remove_tree
from builder.store import Store


def test_an_interrupted_removal_is_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, calls = Store(tmp_path), list[Path]()

    def cut_off(folder: Path) -> None:
        calls.append(folder)
        if len(calls) == 1:
            raise KeyboardInterrupt
        remove_tree(folder)

    monkeypatch.setattr("builder.store.remove_tree", cut_off)
    with pytest.raises(KeyboardInterrupt), store.draft() as draft:
        (draft / "file").touch()
    assert list((store.root / "drafts").iterdir()) == []
