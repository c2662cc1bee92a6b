"""Logs of builds are bounded, and a disk that is full costs no build."""

from pathlib import Path

import pytest

from builder.store import logs
from builder.store.logs import LogFile


def test_a_log_is_bounded_and_tells_how_it_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "MOST", 1000)
    log = LogFile(tmp_path, "a_b", "amd64")
    for _ in range(1000):
        log.write("x" * 100)
    log.end("failed: it broke")
    assert log.path.stat().st_size < 1500
    lines = log.path.read_text().splitlines()
    assert lines[-2] == "(more was said than a log holds)"
    (kept,) = logs.logs(tmp_path)
    assert (kept.name, kept.arch, kept.outcome) == ("a_b", "amd64", "failed: it broke")


def test_where_no_log_can_be_written_there_is_none(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("in the way")
    log = LogFile(tmp_path, "small", "amd64")
    log.write("hello")
    log.end("built")
    assert logs.logs(tmp_path) == []


def test_other_files_are_no_logs(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    for name in ("notes.log", "a_b_c.log", "a_b"):
        (tmp_path / "logs" / name).write_text("")
    assert logs.logs(tmp_path) == []
