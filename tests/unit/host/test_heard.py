"""Signals that Python has noted just before a wait began end that wait, as all others do."""

import _thread
import contextlib
import fcntl
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from builder.host import locks, pids
from builder.host.heard import heard
from builder.host.kernel import inotify
from builder.host.process import console, sd_notify
from builder.host.trees import durable


class HeardError(Exception):
    """What the signal raises."""


@pytest.fixture
def noted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Note a signal while this thread waits, without a call being woken: the worst moment."""
    monkeypatch.setattr("builder.host.heard._PERIOD", 0.05)
    acted_on, late = threading.Event(), threading.Event()
    main = threading.get_ident()

    def act(number: int, frame: object) -> None:
        acted_on.set()
        raise AssertionError("only another signal was heard") if late.is_set() else HeardError

    def note() -> None:
        time.sleep(0.1)  # until it waits
        _thread.interrupt_main(signal.SIGTERM)
        if not acted_on.wait(10):
            late.set()
            signal.pthread_kill(main, signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, act)
    thread = threading.Thread(target=note)
    thread.start()
    yield
    thread.join()
    signal.signal(signal.SIGTERM, before)


def _lock(folder: Path) -> None:
    with _taken(folder / "lock"), durable.locked(folder / "lock"):
        pass


def _told_lock(folder: Path) -> None:
    with _taken(folder / "lock") as path, path.open() as file:
        locks.lock(file.fileno(), "a thing")


def _gate(folder: Path) -> None:
    with _taken(folder / "lock"), durable.gate(folder / "lock", alone=True):
        pass


def _draft(folder: Path) -> None:
    with _taken(folder / ".file.new"), durable.draft_of(folder / "file"):
        pass


def _changes(folder: Path) -> None:
    with inotify.Folder(folder) as changes:
        changes.wait(20)


def _ready(folder: Path) -> None:
    with sd_notify.Listener(folder / "notify") as listener, pids.hold(os.getpid()) as ourselves:
        listener.wait_ready(ourselves, 20)


def _console(_: Path) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        console._join(ours, None)


@contextlib.contextmanager
def _taken(path: Path) -> Iterator[Path]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield path


@pytest.mark.parametrize("wait", [_lock, _told_lock, _gate, _draft, _changes, _ready, _console])
@pytest.mark.usefixtures("noted")
def test_a_wait_ends_with_a_signal_that_came_before_it(
    wait: Callable[[Path], None], tmp_path: Path
) -> None:
    before = signal.getitimer(signal.ITIMER_REAL)
    with pytest.raises(HeardError):
        wait(tmp_path)
    assert signal.getitimer(signal.ITIMER_REAL) == before


def test_alarms_of_a_program_that_calls_are_its_own() -> None:
    def theirs(number: int, frame: object) -> None:
        pass

    before = signal.signal(signal.SIGALRM, theirs)
    try:
        with heard():
            assert signal.getsignal(signal.SIGALRM) is theirs
            assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
    finally:
        signal.signal(signal.SIGALRM, before)


def test_other_threads_wait_as_ever() -> None:
    """The timer is one for all threads: two that wait would take it from each other."""
    found = []

    def wait() -> None:
        with heard():
            found.append(signal.getitimer(signal.ITIMER_REAL))

    with heard():
        pass  # by now alarms are ours
    thread = threading.Thread(target=wait)
    thread.start()
    thread.join()
    assert found == [(0, 0)]
