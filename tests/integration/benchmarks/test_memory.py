"""Measured memory is that of the command and of all its children, at one time."""

import subprocess
import sys

import pytest

from benchmarks.memory import peak
from benchmarks.runner import Contender

HOLD = "import time; held = bytearray(b'x') * {size}_000_000; time.sleep({seconds})"


def hold(size: int, seconds: float = 0.3) -> str:
    return f'"{sys.executable}" -c "{HOLD.format(size=size, seconds=seconds)}"'


def measured(script: str) -> float:
    # A process of its own: whoever measures adopts orphans, which the tests' own must not.
    program = (
        "import sys; from benchmarks.memory import peak; from benchmarks.runner import Contender;"
        "print(peak(Contender('it', ('sh', '-c', sys.argv[1]))))"
    )
    argv = [sys.executable, "-c", program, script]
    return float(subprocess.run(argv, check=True, capture_output=True, text=True).stdout)


@pytest.mark.parametrize(
    ("script", "least", "most"),
    [
        (f"{hold(100)}", 100, 140),
        (f"{hold(100, 3)} & {hold(60, 3)}; wait", 160, 220),
        # One after the other is not at one time.
        (f"{hold(100)}; {hold(90)}", 100, 140),
        # Whose parent has ended is still counted.
        (f"({hold(100, 2)} &) ; sleep 3", 100, 140),
    ],
    ids=["one", "together", "in turn", "orphan"],
)
def test_the_peak_is_what_is_held_at_one_time(script: str, least: int, most: int) -> None:
    assert least <= measured(script) <= most


def test_a_failing_command_is_shown() -> None:
    with pytest.raises(SystemExit) as caught:
        peak(Contender("it", ("sh", "-c", "echo why; exit 3")))
    assert "it: status 3\nwhy" in str(caught.value)
