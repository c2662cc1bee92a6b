"""Containers that come and go all the time, several at once, leave nothing and never fail."""

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.hosts.traces import Traces, left_over
from tests.support.needs import needs
from tests.support.oven import Oven
from tests.system.conftest import Built

pytestmark = needs("root", "archive", "program:conmon", "program:runc", "program:dnsmasq")

LOOPS = 4


@pytest.mark.parametrize("turns", [4, pytest.param(50, marks=pytest.mark.slow)])
def test_create_start_destroy(oven: Oven, built: Built, turns: int) -> None:
    built("debian-bookworm")
    before = Traces.of(oven.home)

    def loop(number: int) -> None:
        for turn in range(turns):
            name = f"churn-{os.getpid()}-{number}-{turn}"
            oven("create", name, "debian-bookworm", "--memory", "128M")
            oven("start", name)
            assert oven("exec", name, "--", "hostname").stdout == f"{name}\n".encode()
            oven("destroy", "--force", name)

    with ThreadPoolExecutor(LOOPS) as pool:
        list(pool.map(loop, range(LOOPS)))
    assert left_over(oven.home, before) == {}
