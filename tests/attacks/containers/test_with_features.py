"""All attacks on walls, once more against containers that have every feature."""

import os
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from builder.model.feature import Feature
from tests.support.needs import needs
from tests.support.oven import CHECKOUT

pytestmark = [needs("root", "program:runc", "program:conmon"), pytest.mark.slow]


@pytest.mark.skipif("OVEN_TEST_FEATURES" in os.environ, reason="this is that run")
def test_no_wall_falls(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider",
            "-m", "not slow and not alone", Path(__file__).parent, f"--basetemp={tmp_path}/base",
        ],
        cwd=CHECKOUT, env={**os.environ, "OVEN_TEST_FEATURES": " ".join(get_args(Feature))},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-8000:]
