"""Readiness that comes late: a process of its own waits for it where no command does any more."""

import contextlib

import msgspec

from builder.host import processes
from builder.host.notify import Listener
from builder.host.places import Places
from builder.host.process import aside
from builder.model.errors import OvenError
from builder.runtime import events, journal, pending, state
from builder.runtime.container import Container, volatile_of
from builder.runtime.state import State

# Where the command that started a container has died or given up, nobody hears what its init says.
# The new listener is there before the init is asked, so nothing can be missed in between. Whoever
# finds that this process has died too begins another one.

_PROMPT = 20.0
"""Seconds that systemd may take to say how far it is."""
_UP = {"running", "degraded"}


def followed(places: Places, container: Container, current: State) -> State:
    """Have a container that runs waited for until it is ready; give its state, to be written.

    The caller holds the container's lock.
    """
    running = msgspec.structs.replace(current, phase="running", starter=0, starter_started=0)
    if container.init != "systemd":
        return msgspec.structs.replace(running, ready=True)
    with Listener(volatile_of(places, container.name) / "host/notify") as listener:
        work = _Follower(places, container.name, current, listener)
        pid = aside(work, holding=listener.fileno())
    return msgspec.structs.replace(running, starter=pid, starter_started=processes.start_time(pid))


class _Follower(msgspec.Struct, frozen=True):
    """What that process does."""

    places: Places
    name: str
    begun: State
    listener: Listener

    def __call__(self) -> None:
        pidfd = processes.hold(self.begun.pid, self.begun.pid_started)
        if pidfd is None:
            return
        verdict = "ready" if self._is_up() else "late"
        while verdict == "late":
            verdict = self.listener.wait_ready(pidfd, processes.FOREVER)
        if verdict == "ready":
            self._note()

    def _is_up(self) -> bool:
        from builder.runtime.exec import capture

        with contextlib.suppress(OvenError):
            argv = ("systemctl", "is-system-running")
            return capture(self.places, self.name, argv, timeout=_PROMPT)[1].strip() in _UP
        return False

    def _note(self) -> None:
        with journal.held(self.places, self.name):
            current = state.read(self.places, self.name)
            if current is not None and current.pid == self.begun.pid and not current.ready:
                ready = msgspec.structs.replace(current, ready=True, starter=0, starter_started=0)
                state.write(self.places, self.name, ready)
                pending.forget(self.places, self.name)
                events.record(self.places, self.name, "ready")
