"""Pools of threads, and Ctrl-C."""

import signal
import subprocess
import threading
import time

import pytest

from builder.host.process.threads import Threads


def test_a_thread_that_starts_as_ctrl_c_comes_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    really_start, done = threading.Thread.start, list[str]()

    def start_and_be_cut_off(thread: threading.Thread) -> None:
        really_start(thread)
        signal.raise_signal(signal.SIGINT)

    def work() -> None:
        time.sleep(0.2)
        done.append("work")

    monkeypatch.setattr(threading.Thread, "start", start_and_be_cut_off)
    with pytest.raises(KeyboardInterrupt), Threads(1) as pool:
        pool.submit(work)
    assert done == ["work"]


def test_what_threads_start_hears_signals() -> None:
    with Threads(1) as pool:
        script = "import signal; print(signal.pthread_sigmask(signal.SIG_BLOCK, ()))"
        said = pool.submit(subprocess.check_output, ["python3", "-c", script]).result()
    assert said == b"set()\n"
