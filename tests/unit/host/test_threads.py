"""Pools of threads, and Ctrl-C."""

import subprocess
import sys

from builder.host.process.threads import Threads
from tests.support.oven import CHECKOUT

CUT_OFF = """
import signal, threading, time
from builder.host.process.threads import Threads
really_start = threading.Thread.start
def start_and_be_cut_off(thread):
    really_start(thread)
    signal.raise_signal(signal.SIGINT)
def work():
    time.sleep(0.2)
    print("worked", flush=True)
threading.Thread.start = start_and_be_cut_off
try:
    with Threads(1) as pool:
        pool.submit(work)
except KeyboardInterrupt:
    print("interrupted")
"""


def test_a_thread_that_starts_as_ctrl_c_comes_is_waited_for() -> None:
    # In a process of its own: the worker that runs the tests has threads, too.
    argv = [sys.executable, "-c", CUT_OFF]
    said = subprocess.run(argv, cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout
    assert said == "worked\ninterrupted\n"


def test_what_threads_start_hears_signals() -> None:
    with Threads(1) as pool:
        script = "import signal; print(signal.pthread_sigmask(signal.SIG_BLOCK, ()))"
        said = pool.submit(subprocess.check_output, ["python3", "-c", script]).result()
    assert said == b"set()\n"
