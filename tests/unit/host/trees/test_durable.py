"""Files that appear whole or not at all."""

import os
import signal
from pathlib import Path

import pytest

from builder.host.trees import durable


def test_ctrl_c_just_as_a_draft_is_opened_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really_open = os.open

    def open_and_be_cut_off(path: Path, flags: int, mode: int) -> int:
        fd = really_open(path, flags, mode)
        signal.raise_signal(signal.SIGINT)
        return fd

    monkeypatch.setattr(os, "open", open_and_be_cut_off)
    with pytest.raises(KeyboardInterrupt), durable.draft_of(tmp_path / "file"):
        pytest.fail("the signal was held back for too long")
    assert not list(tmp_path.iterdir())


def test_a_draft_that_cannot_be_opened_says_so(tmp_path: Path) -> None:
    (tmp_path / ".file.new").mkdir()
    with pytest.raises(IsADirectoryError), durable.draft_of(tmp_path / "file"):
        pytest.fail("it was opened")
