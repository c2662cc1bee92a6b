"""The benchmark of running tells how its goals are met, and asks for nothing that is not there."""

import subprocess
import sys

from benchmarks import density
from benchmarks.runner import rows
from benchmarks.runtime import ROWS, verdicts
from tests.support.oven import CHECKOUT


def test_goals_are_told_with_what_came_out() -> None:
    found = rows({"runc": [0.02, 0.04], "podman": [0.3], "oven": [0.06]})
    assert verdicts(found, {"runc": 2.5, "podman": 0.1, "LXC": 1.0}) == [
        "oven at most 2.5 of runc: 2.00, met",
        "oven at most 0.1 of podman: 0.20, MISSED",
    ]


def test_a_row_that_there_is_not_is_named_before_anything_is_done() -> None:
    argv = [sys.executable, "-m", "benchmarks.runtime", "--only", "once,all"]
    done = subprocess.run(argv, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "there is no row all" in done.stderr
    assert set(ROWS) >= {"once", "many", "churn"}


def test_memory_in_use_is_less_than_all() -> None:
    assert 0 < density.in_use("MemTotal: 100 kB\nMemFree: 40 kB\nBuffers: 5 kB\nCached: 30 kB\n"
                              "Shmem: 10 kB\nSReclaimable: 2 kB\n") == 33 * 1024  # fmt: skip
