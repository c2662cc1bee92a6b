"""Shutdown: having a container's init end in the way that it knows, or else those below it."""

import contextlib
import signal
import time

from builder.host import notices, pids
from builder.host.places import Places
from builder.model.errors import OvenError
from builder.runtime.record import inits
from builder.runtime.record.container import Container
from builder.runtime.record.state import State

# The first process of a PID namespace gets no signal that it neither catches nor waits for, even
# from outside, but SIGKILL and SIGSTOP (pid_namespaces(7)). So there is nothing to wait for then.


def shut_down(places: Places, container: Container, current: State, timeout: float) -> bool:
    """Have the init of a container that runs shut down; tell whether it has ended in that time.

    What takes too long is left to be killed. Where the init takes no order, all other processes are
    asked to end as any init would ask them, so that only it has to be killed.
    """
    deadline = time.monotonic() + timeout
    with pids.hold(current.pid, current.pid_started) as init:
        if init.gone:
            return True
        if _tell(places, container, current.pid, init, timeout):
            return init.wait(deadline - time.monotonic())
        _end_others(current.pid, deadline)
        over = init.gone
    if not over:
        notices.tell(
            f"the init of container `{container.name}` takes no order to shut down: all others in"
            " there were asked to end, and then it is killed"
        )
    return over


def _tell(
    places: Places, container: Container, pid: int, init: pids.HeldProcess, timeout: float
) -> bool:
    """Tell an init to shut down; False when it cannot be told."""
    manner = inits.manner(container.init)
    if manner.stop:
        if pids.takes(pid, manner.stop):
            init.send(manner.stop)
            return True
        return False
    from builder.runtime.access.exec import capture

    with contextlib.suppress(OvenError):
        return capture(places, container.name, manner.halt, timeout=timeout)[0] == 0
    return False


def _end_others(init: int, deadline: float) -> None:
    for pid, started in pids.send_below(init, signal.SIGTERM):
        with pids.hold(pid, started) as process:
            process.wait(deadline - time.monotonic())
