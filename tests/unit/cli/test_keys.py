"""Ctrl-C at every moment of a start: no traceback, be it in the middle of an import."""

import signal
import subprocess
import sys

import pytest

from builder.cli.terminal import outcome
from tests.support.oven import CHECKOUT

# The kernel is asked for the signal when that import begins; it comes at the next instruction.
START = """
import os, signal, sys
from builder.cli import main

class Moment:
    left = {moment}

    def find_spec(self, *_):
        Moment.left -= 1
        if not Moment.left:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Moment())
sys.argv = ["oven", *{arguments}]
main()
"""


@pytest.mark.parametrize("moment", [1, 2, 3, 5, 8, 13, 21, 34, 55, 89])
@pytest.mark.parametrize(
    "arguments", [["list"], ["exec", "x", "--", "true"], ["build", "--help"], ["nosuch"]]
)
def test_no_traceback(arguments: list[str], moment: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", START.format(moment=moment, arguments=arguments)],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd=CHECKOUT,
        env={"OVEN_HOME": "/nonexistent", "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert done.returncode == 130, done.stderr
    assert done.stderr.strip() in {"", "interrupted"}


TAKEN = """
import os, signal, sys, threading, time
from builder.cli import keys
from builder.cli.terminal import outcome
from builder.host.pids import undisturbed

def work():
    over = threading.Event()
    threading.Thread(target=over.wait, daemon=True).start()
    with undisturbed():
        os.kill(os.getpid(), signal.{name})  # the other thread takes it: this one holds it back
        time.sleep(0.2)
        print("whole", flush=True)
    print("never")

keys.leave_at_once()
sys.exit(outcome.told(work))
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_what_is_held_back_waits_whichever_thread_takes_it(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", TAKEN.format(name=name)],
        capture_output=True, text=True, cwd=CHECKOUT,
    )  # fmt: skip
    assert (done.stdout, done.stderr.strip()) == ("whole\n", "interrupted")
    assert done.returncode == 128 + signal.Signals[name]


def test_a_verb_that_another_program_calls_leaves_ctrl_c_to_it() -> None:
    before = signal.getsignal(signal.SIGINT)
    assert outcome.told(lambda: 3) == 3
    assert signal.getsignal(signal.SIGINT) is before


def test_who_ignores_it_goes_on() -> None:
    """As a shell has it for what runs in the background."""
    code = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
    code += START.format(moment=3, arguments=["nosuch"])
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, cwd=CHECKOUT, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 2


LOST = """
import signal, sys, time, weakref
from builder.cli.terminal import outcome

class Thing: ...

def work():
    thing = Thing()
    kept = weakref.ref(thing, lambda _: signal.raise_signal(signal.{name}))
    del thing
    time.sleep(60)

sys.exit(outcome.told(work))
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_what_comes_while_an_object_goes_is_not_lost(name: str) -> None:
    """Nobody hears of exceptions there, and imports have such moments."""
    line = [sys.executable, "-c", LOST.format(name=name)]
    done = subprocess.run(line, capture_output=True, text=True, cwd=CHECKOUT, timeout=30)
    assert done.returncode == 128 + signal.Signals[name]
    assert done.stderr.strip() == "interrupted"
