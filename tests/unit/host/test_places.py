"""Tests of places: where an ordinary user's things lie, however the user has come in."""

import os
from pathlib import Path

import pytest

from builder.host.places import Places


@pytest.mark.parametrize("session", [None, "/run/user/1000", "/run/user/0"])
def test_every_session_of_a_user_sees_the_same_containers(
    session: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)  # nobody changes users within a test run
    for name in ("OVEN_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    if session is not None:
        monkeypatch.setenv("XDG_RUNTIME_DIR", session)
    places = Places.of_user()
    assert places.ordinary
    assert places.data == tmp_path / ".local/share/oven"
    assert places.runtime == places.data / "run"
