"""Errands: done side by side, each with an end to its time, and none of them left behind."""

import os
import signal
import subprocess
import sys
import time
from functools import partial

import pytest

from builder.host.process.errands import Errand, at_once
from tests.support.oven import CHECKOUT


def say(text: str) -> bytes:
    return text.encode()


def hang() -> bytes:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    while True:
        time.sleep(100)


def test_each_brings_its_own_back() -> None:
    many = [Errand(partial(say, "x" * 100 * number), 60) for number in range(70)]
    assert [back.brought for back in at_once(many)] == [b"x" * 100 * n for n in range(70)]
    assert at_once([]) == []


def test_one_that_hangs_is_ended_and_keeps_no_other() -> None:
    late, quick, dead = at_once(
        [Errand(hang, 0.2), Errand(partial(say, "done"), 60), Errand(die, 60)]
    )
    assert (late.brought, quick.brought, dead.brought) == (None, b"done", None)
    assert late.seconds >= 0.2


def die() -> bytes:
    os.kill(os.getpid(), signal.SIGKILL)
    return b""


def test_a_mistake_of_ours_is_one_of_the_caller() -> None:
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        at_once([Errand(lambda: bytes(1 // 0), 60)])


ASKS = """
import os, signal, sys, time
from builder.host.process.errands import Errand, at_once

def hang():
    os.write(1, b"up\\n")  # in one piece, which two prints are not
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    while True:
        time.sleep(100)

at_once([Errand(hang, 100), Errand(hang, 100)])
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_none_outlives_who_waits_for_it(number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", ASKS], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        cwd=CHECKOUT,
    ) as asks:  # fmt: skip
        assert asks.stdout
        for _ in range(2):
            assert asks.stdout.readline() == b"up\n"
        asks.send_signal(number)
        # The pipe ends with the last of them.
        assert asks.stdout.read() == b""
    assert asks.returncode != 0
