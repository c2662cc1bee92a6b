"""Cgroups: made and removed by many commands at once."""

import subprocess
import sys
from pathlib import Path

from builder.host.kernel import cgroups

REMOVE = """
import os, sys, time
while True:
    time.sleep(0.0001)
    try:
        os.rmdir(sys.argv[1])
    except OSError:
        pass
"""
"""What the end of every last container does with what is above it."""


def test_one_is_made_although_another_takes_away_what_is_above_it(tmp_path: Path) -> None:
    above = tmp_path / "oven"
    with subprocess.Popen([sys.executable, "-c", REMOVE, str(above)]) as other:
        try:
            for number in range(20_000):
                cgroups.make(tmp_path, f"oven/{number}")
                (above / str(number)).rmdir()
        finally:
            other.kill()
