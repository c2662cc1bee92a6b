"""Crowds: many downloads at once, all of which end with the first failure."""

import threading
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, TypeVar

from builder.model.progress import ProgressTask

if TYPE_CHECKING:
    import requests

Item = TypeVar("Item")

GRACE = 0.2
"""Seconds that each thread gets to notice that all is over."""


class StoppedError(Exception):
    """Another download failed, or a person pressed Ctrl-C."""


class Crowd:
    """What the downloads of one call share."""

    def __init__(self, task: ProgressTask, session: "requests.Session") -> None:
        self.session = session
        self.stopped = threading.Event()
        self._task = task
        self._lock = threading.Lock()

    def advance(self, amount: int) -> None:
        """Tell of bytes that arrived, one thread at a time."""
        with self._lock:
            self._task.advance(amount)

    def rest(self, seconds: float) -> None:
        """Wait, unless all is over."""
        if self.stopped.wait(seconds):
            raise StoppedError

    def go_on(self) -> None:
        """Raise when all is over."""
        if self.stopped.is_set():
            raise StoppedError


def side_by_side(
    items: Sequence[Item], jobs: int, crowd: Crowd, work: Callable[[Item], None]
) -> None:
    """Work on the items in threads; raise the first error.

    The threads are daemons, and nobody waits for them to the end after an error: one may sit in a
    read for as long as the timeout, and Ctrl-C must not. It writes nothing once `stopped` is set.
    """
    waiting: SimpleQueue[Item] = SimpleQueue()
    for item in items:
        waiting.put(item)
    outcomes: SimpleQueue[BaseException | None] = SimpleQueue()

    def thread() -> None:
        outcomes.put(_work_off(waiting, crowd, work))

    count = max(1, min(jobs, len(items)))
    threads = [threading.Thread(target=thread, daemon=True) for _ in range(count)]
    try:
        for started in threads:
            started.start()
        for _ in threads:
            if (error := outcomes.get()) is not None:
                raise error
    finally:
        crowd.stopped.set()
        for started in threads:
            started.join(GRACE)


def _work_off(
    waiting: SimpleQueue[Item], crowd: Crowd, work: Callable[[Item], None]
) -> BaseException | None:
    """Work until nothing is left or all is over; give what went wrong."""
    try:
        while not crowd.stopped.is_set():
            work(waiting.get_nowait())
    except (Empty, StoppedError):
        return None
    except BaseException as error:  # noqa: BLE001  # it is raised in the caller's thread
        return error
    return None
