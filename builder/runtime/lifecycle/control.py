"""The life of a container: created, started, stopped, frozen, destroyed."""

import contextlib
import os
import time
from collections.abc import Iterator

import msgspec

from builder.host import pids
from builder.host.kernel import cgroups, sysctl
from builder.host.places import Places
from builder.host.process.sd_notify import Listener
from builder.model.errors import ConflictError, NotFoundError
from builder.model.progress import Reporter
from builder.runtime.bundle.process import plain_umask
from builder.runtime.health import declared
from builder.runtime.lifecycle import boot, create, readiness, shutdown
from builder.runtime.lifecycle.readiness import NotReadyError
from builder.runtime.record import events, ids, layout, state
from builder.runtime.record.container import Container, check_name, load
from builder.runtime.record.state import State
from builder.runtime.recovery import repair, tasks
from builder.runtime.recovery.finishing import finisher
from builder.runtime.recovery.held import Held
from builder.runtime.resources import limits

READY_TIMEOUT = 60.0
STOP_TIMEOUT = 90.0


def start(places: Places, name: str, report: Reporter, *, timeout: float = READY_TIMEOUT) -> State:
    """Start a container and wait until its init says that all is up, and its probes pass.

    One that runs already stays as it is, a frozen one goes on, and both are waited for if they are
    not ready. One that ends before it is ready is cleaned up; one that is only late goes on, for
    people to look inside. Both are a NotReadyError with the last of the console.
    """
    task = report.begin(f"starting {name}")
    deadline = time.monotonic() + timeout
    try:
        current, container = _start(places, name, timeout, deadline)
        if declared.has_any(places, container or load(places, name)):
            from builder.runtime.lifecycle import service

            service.wait(places, name, timeout, deadline)
        return current
    finally:
        task.close()


def _start(
    places: Places, name: str, timeout: float, deadline: float
) -> tuple[State, Container | None]:
    """Start it and give its state, and its record unless it had been started already."""
    while True:
        with _undone(places, name), contextlib.ExitStack() as stack:
            begun = _begin(places, name, stack)
            if isinstance(begun, Started):
                return _see_it_up(places, begun, timeout), begun.container
        if begun.frozen:
            thaw(places, name)
        elif begun.ready:
            return begun, None
        elif not _wait_for_other(begun, deadline - time.monotonic()):
            raise _late(places, name, timeout)


def start_again(places: Places, name: str, waiting: State) -> None:
    """Start a container whose pause is over, if that is still what it waits for."""
    with _undone(places, name), contextlib.ExitStack() as stack:
        with repair.holding(places, name) as held:
            if held.state != waiting:
                return
            held.clean()
            begun = _boot(held, stack, waiting)
        _see_it_up(places, begun, READY_TIMEOUT)


def stop(places: Places, name: str, *, timeout: float = STOP_TIMEOUT) -> bool:
    """Ask the init to shut down, and kill what is left after the timeout; stopped is fine.

    Gives whether nothing had to be killed.
    """
    if tasks.is_left(places, name):
        finisher().resume(places, name, "stopped")
    with repair.held(places, name, layers=False) as held:
        by_itself = _stop(held, timeout)
        if held.record.remove:
            create.remove(places, held.record)
            held.tell("destroyed")
    return by_itself


def restart(places: Places, name: str, report: Reporter, *, timeout: float = STOP_TIMEOUT) -> State:
    """Stop a container if it runs, and start it; one that was to be gone then stays."""
    repair.resume(places, name)
    with tasks.begun(places, name, runs=state.status(places, name) != "stopped"):
        with repair.holding(places, name) as held:
            _stop(held, timeout)
        return start(places, name, report)


def destroy(places: Places, name: str, *, force: bool = False) -> Container:
    """Remove a container and all that is in it, and give what it was; a running one by `force`."""
    check_name(name)
    with repair.held(places, name, layers=False) as held:
        if held.record.protected:
            raise ConflictError(
                f"container `{name}` is protected",
                hint=f"`oven set {name} --no-protect` first",
            )
        if held.state is not None:
            if not force:
                raise ConflictError(
                    f"container `{name}` is {held.status}",
                    hint=f"`oven stop {name}` first, or `oven destroy --force {name}`",
                )
            held.clean()
        create.remove(places, held.record)
        held.tell("destroyed")
        return held.record


def freeze(places: Places, name: str) -> None:
    """Halt every process of a running container where it is; frozen is fine."""
    _set_frozen(places, name, frozen=True)


def thaw(places: Places, name: str) -> None:
    """Let a frozen container go on; one that was not frozen is fine."""
    _set_frozen(places, name, frozen=False)


class Started(msgspec.Struct, frozen=True):
    """A container whose init has begun, and what it will be heard through."""

    container: Container
    state: State
    listener: Listener


def _begin(places: Places, name: str, stack: contextlib.ExitStack) -> Started | State:
    """Start a container under its lock; give the state of one that has been started already."""
    with repair.holding(places, name) as held:
        current = held.state
        if current is not None and current.phase in {"stopping", "waiting"}:
            _stop(held, STOP_TIMEOUT)
        elif _boots_for_us(current):
            # An earlier start by this very process was interrupted before it could be taken back.
            held.clean()
        return held.state or _boot(held, stack)


def _boot(held: Held, stack: contextlib.ExitStack, waiting: State | None = None) -> Started:
    limits.check(held.places, held.record)
    sysctl.raise_all()
    plain_umask()
    placed = ids.hold(held.places, held.record)
    if placed != held.record:
        held.save(placed)
    state.forget_end(held.places, held.name)
    try:
        listener = stack.enter_context(Listener(boot.prepare(held) / layout.NOTIFY))
        current = boot.boot(held, waiting=waiting)
    except BaseException as error:
        held.clean()
        held.tell("failed", reason=str(error) or type(error).__name__)
        raise
    held.tell("started", pid=current.pid)
    return Started(held.record, current, listener)


def _see_it_up(places: Places, begun: Started, timeout: float) -> State:
    """Wait until a container is ready, without the lock, so that others can look at or stop it."""
    name = begun.container.name
    try:
        verdict = readiness.wait(begun.listener, begun.container, begun.state, timeout)
        with repair.holding(places, name) as held:
            current = held.state
            same = current is not None and current.pid == begun.state.pid
            if current is not None and same:
                current = held.become(_judged(held, current, verdict))
                readiness.forget_first_boot(places, name)
    except NotFoundError:
        raise _ended_early(name, "") from None
    if current is None or not same:
        raise _ended_early(name, _console(places, name))
    events.record(places, name, verdict)
    if verdict == "late":
        raise _late(places, name, timeout)
    return current


def _judged(held: Held, current: State, verdict: str) -> State:
    """Give the state of a container that was waited for; a late one goes on to be."""
    if verdict == "late":
        return readiness.followed(held.places, held.record, current)
    return msgspec.structs.replace(
        current, phase="running", ready=verdict == "ready", starter=0, starter_started=0
    )


def _late(places: Places, name: str, timeout: float) -> NotReadyError:
    error = NotReadyError(
        f"container `{name}` is not ready after {timeout:g} seconds, and goes on running",
        hint=f"`oven enter {name}` to look inside, `oven stop {name}` to stop it",
        output=_console(places, name),
    )
    error.late = True
    return error


def _ended_early(name: str, console: str) -> NotReadyError:
    hint = "the end of its console is shown" if console else None
    return NotReadyError(f"container `{name}` ended before it was ready", hint=hint, output=console)


@contextlib.contextmanager
def _undone(places: Places, name: str) -> Iterator[None]:
    """Take back a start of this process that is cut off, wherever that happens."""
    try:
        yield
    except BaseException:
        if _boots_for_us(state.read(places, name)):
            with contextlib.suppress(NotFoundError), repair.holding(places, name) as held:
                if _boots_for_us(held.state):
                    held.clean()
                    held.tell("stopped", killed=True)
        raise


def _boots_for_us(current: State | None) -> bool:
    return current is not None and current.phase == "booting" and current.starter == os.getpid()


def _wait_for_other(current: State, seconds: float) -> bool:
    """Wait for whoever waits for the container to be ready; tell whether that has an end."""
    with pids.hold(current.starter, current.starter_started) as starter:
        return starter.wait(seconds)


def _stop(held: Held, timeout: float) -> bool:
    """Do the work of `stop`; tell whether nothing had to be killed."""
    by_itself, current = True, held.state
    ran = current is not None and state.alive(current)
    if current is not None and ran:
        if current.phase != "stopping":
            # Who is told of the end then knows that it was wanted.
            held.become(msgspec.structs.replace(current, phase="stopping"))
        if current.frozen:
            cgroups.freeze(held.cgroup, frozen=False)
        by_itself = shutdown.shut_down(held.places, held.record, current, timeout)
    more = _kills(held.places, held.name) if ran else {}
    held.clean()
    state.forget_end(held.places, held.name)
    if ran:
        held.tell("stopped", killed=not by_itself, **more)
    return by_itself


def _kills(places: Places, name: str) -> dict[str, int]:
    from builder.runtime.resources import usage

    return usage.kills(places, name)


def _set_frozen(places: Places, name: str, *, frozen: bool) -> None:
    with repair.holding(places, name) as held:
        # Noted before it is done: who finds it frozen without a note would not know why.
        noted = held.become(msgspec.structs.replace(held.need_up(), frozen=True))
        cgroups.freeze(held.cgroup, frozen=frozen)
        held.become(msgspec.structs.replace(noted, frozen=frozen))
        held.tell("frozen" if frozen else "thawed")


def _console(places: Places, name: str) -> str:
    from builder.runtime.access import logs

    return logs.tail(places, name)
