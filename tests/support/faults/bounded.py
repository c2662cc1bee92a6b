"""Commands that have to end in a time that people wait."""

from pathlib import Path

from builder.runtime.access.exec import capture
from tests.support.containers.rig import Rig
from tests.support.oven import Oven, finished


def inside(rig: Rig, script: str) -> str:
    code, output = capture(rig.places, "test", ("sh", "-ec", script))
    assert code == 0, output
    return output


def ends(oven: Oven, *words: str | Path, code: int = 0) -> str:
    process = oven.start(*words)
    said = finished(process, PATIENCE)
    assert process.returncode == code, said
    assert "bug in oven" not in said
    return said


PATIENCE = 20
"""Seconds after which a command counts as stuck; none needs three."""
