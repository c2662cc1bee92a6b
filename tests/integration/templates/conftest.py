"""A place for templates."""

from pathlib import Path

import pytest

from builder.templates.local import Templates


@pytest.fixture
def templates(tmp_path: Path) -> Templates:
    return Templates(tmp_path / "data")
