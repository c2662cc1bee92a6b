"""Readiness: waiting until the init of a container has come to the end of its boot."""

import contextlib
import signal
import time
from collections.abc import Iterator

import msgspec

from builder.host import pids
from builder.host.places import Places
from builder.host.process.sd_notify import Listener
from builder.host.programs import aside
from builder.model.errors import OvenError, StageError
from builder.runtime.bundle import pending
from builder.runtime.lifecycle import arrival
from builder.runtime.record.container import Container
from builder.runtime.record.layout import NOTIFY, SHARED, volatile_of
from builder.runtime.record.state import State
from builder.runtime.recovery import repair

# An init may say READY=1 by the protocol of sd_notify(3), and systemd always does. How far others
# have come is looked up again and again, since nobody tells when it changes. Those that show
# nothing at all are watched for a while: one that cannot do its work ends soon.
#
# Where the command that started a container has died or given up, nobody hears what its init says.
# The new listener is there before the init is asked, so nothing can be missed in between. Whoever
# finds that this process has died too begins another one.

WATCHED = 3.0
"""Seconds that an init of which nothing tells has to run."""
_PAUSE = 0.1
"""Seconds between two looks."""
_PROMPT = 20.0
"""Seconds that systemd may take to say how far it is."""
_UP = {"running", "degraded"}


class NotReadyError(StageError):
    """A container's init has not come to the end of its boot."""

    late = False
    """Whether it still tries to; otherwise it has ended."""


def wait(listener: Listener, container: Container, current: State, timeout: float) -> str:
    """Wait for a container's init; give `ready`, `ended` when it did before that, or `late`."""
    with pids.hold(current.pid, current.pid_started) as process:
        if process.gone:
            return "ended"
        if container.init == "systemd":
            return listener.wait_ready(process, timeout)
        return _watch(listener, current.pid, process, timeout)


def _watch(listener: Listener, pid: int, process: pids.HeldProcess, timeout: float) -> str:
    begun = calm = time.monotonic()
    while True:
        verdict = listener.wait_ready(process, _PAUSE)
        if verdict != "late":
            return verdict
        now = time.monotonic()
        with contextlib.suppress(OSError):  # it ends, which is seen at once
            arrived = arrival.arrived(pid)
            calm = now if arrived is False else calm
            if arrived or (arrived is None and now - calm >= min(WATCHED, timeout)):
                return "ready"
        if now - begun >= timeout:
            return "late"


def followed(places: Places, container: Container, current: State) -> State:
    """Have a container that runs waited for until it is ready; give its state, to be written.

    The caller holds the container's lock.
    """
    running = msgspec.structs.replace(current, phase="running", starter=0, starter_started=0)
    with Listener(volatile_of(places, container.name) / SHARED / NOTIFY) as listener:
        work = _Follower(places, container, current, listener)
        pid = aside(work, holding=listener.fileno())
    return msgspec.structs.replace(running, starter=pid, starter_started=pids.start_time(pid))


class _Follower(msgspec.Struct, frozen=True):
    """What that process does."""

    places: Places
    container: Container
    begun: State
    listener: Listener

    def __call__(self) -> None:
        verdict = "ready" if self._is_up() else "late"
        with _letting_go():
            while verdict == "late":
                verdict = wait(self.listener, self.container, self.begun, pids.FOREVER)
        if verdict == "ready":
            self._note()

    def _is_up(self) -> bool:
        if self.container.init != "systemd":
            return False
        from builder.runtime.access.exec import capture

        with contextlib.suppress(OvenError):
            argv, name = ("systemctl", "is-system-running"), self.container.name
            return capture(self.places, name, argv, timeout=_PROMPT)[1].strip() in _UP
        return False

    def _note(self) -> None:
        name = self.container.name
        with repair.held(self.places, name) as held:
            current = held.state
            if current is not None and current.pid == self.begun.pid and not current.ready:
                held.become(
                    msgspec.structs.replace(current, ready=True, starter=0, starter_started=0)
                )
                forget_first_boot(self.places, name)
                held.tell("ready")


@contextlib.contextmanager
def _letting_go() -> Iterator[None]:
    """Wait for a container of which children of ours may be: what was asked inside, if it died.

    An init cannot end before somebody has reaped all that was in its namespace
    (pid_namespaces(7)), and we wait for that end: so the kernel does it, at once (sigaction(2)).
    """
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        pids.reap_adopted()
        yield
    finally:
        signal.signal(signal.SIGCHLD, before)


def forget_first_boot(places: Places, name: str) -> None:
    """Remove first-boot data of a container that is ready; most have none, and load nothing."""
    if pending.is_written(places, name):
        from builder.runtime.bundle import first_boot

        first_boot.forget(places, name)
