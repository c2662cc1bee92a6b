"""State: what is true of a container now, as far as it ends with the boot."""

from collections.abc import Mapping
from typing import Literal

import msgspec

from builder.host import pids
from builder.host.places import Places
from builder.host.trees import durable
from builder.model.value import Value, canonical
from builder.runtime.record import layout
from builder.runtime.record.container import Status
from builder.runtime.record.layout import folder_of, volatile_of

Phase = Literal["starting", "booting", "running", "stopping", "waiting"]

PHASES: Mapping[Phase, str] = {
    "starting": "the intent, written before anything is done; lasts no longer than the lock",
    "booting": "its init has begun, and the command that started it waits until it is ready",
    "running": "it is ready, or somebody else waits for one that is late",
    "stopping": "its end is wanted, so nothing follows from that",
    "waiting": "the pause before another try to start one that has failed",
}

NEXT: Mapping[Phase | None, tuple[Phase, ...]] = {
    None: ("starting", "waiting"),
    "starting": ("starting", "booting", "stopping"),
    "booting": ("running", "stopping"),
    "running": ("running", "stopping"),
    "stopping": (),
    "waiting": (),
}
"""Which phases may follow which. From each a container may come to None, which is no state at all:
what it had outside its folder is taken away, and the state with that."""


class State(Value, frozen=True, kw_only=True):
    """What is known of a container that was started; kept as `state.json` while it runs."""

    phase: Phase
    boot: str
    """The boot of the host that this was true in."""
    pid: int = 0
    """The container's first process, as the host numbers it."""
    pid_started: int = 0
    monitor: int = 0
    """conmon, which keeps the console and waits for the end."""
    monitor_started: int = 0
    starter: int = 0
    """The `oven` that waits, for the container to be ready or for its pause to end."""
    starter_started: int = 0
    since: int = 0
    """Seconds since 1970 when it was started."""
    ready: bool = False
    """Whether its init has said that all is up."""
    frozen: bool = False
    address: str | None = None
    """Where it is reached: the first of its addresses."""
    addresses: tuple[str, ...] = ()
    """What its networks gave it, in the order of its interfaces, IPv4 before IPv6."""
    engine: str = ""
    """The OCI runtime that it was started with: a program of the host."""
    engine_copy: str = ""
    """The name of a copy of that, for when the host has it no more."""
    again: int = 0
    """How often in a row it was started anew because it had failed."""
    reboots: int = 0
    """How often in a row it was started anew because it had rebooted soon after its start."""


_READ = msgspec.json.Decoder(State).decode


def read(places: Places, name: str) -> State | None:
    """Give what was last written; None when there is nothing, or nothing of this boot."""
    try:
        # Quicker than Path: `oven list` asks of a thousand.
        path = f"{places.runtime}/containers/{name}/{layout.STATE}"
        with open(path, "rb") as file:  # noqa: PTH123
            state = _READ(file.read())
    except (FileNotFoundError, msgspec.MsgspecError):
        return None
    return state if state.boot == pids.boot_id() else None


def become(places: Places, name: str, before: State | None, after: State) -> State:
    """Write down what a container is now, after what it was; give that back."""
    phase = before.phase if before else None
    if after.phase not in NEXT[phase]:
        raise AssertionError(f"container `{name}` cannot become {after.phase}, since it is {phase}")
    durable.replace(volatile_of(places, name) / layout.STATE, canonical(after))
    return after


def alive(state: State | None) -> bool:
    """Tell whether the first process of a container runs."""
    return state is not None and pids.is_alive(state.pid, state.pid_started)


def has_monitor(state: State | None) -> bool:
    """Tell whether one that is alive has its monitor too, whose mounts show its own disk."""
    return (
        state is not None and alive(state) and pids.is_alive(state.monitor, state.monitor_started)
    )


def waited_for(state: State) -> bool:
    """Tell whether the command that waits for a container to be up, or to try again, lives."""
    return pids.is_alive(state.starter, state.starter_started)


def is_alone(state: State | None) -> bool:
    """Tell whether a container has begun and is not ready, and nobody waits for that."""
    if state is None or state.phase not in {"booting", "running"} or state.ready:
        return False
    return alive(state) and not waited_for(state)


def status(places: Places, name: str) -> Status:
    """Tell in one word what a container does, whatever has happened to it meanwhile."""
    return status_of(read(places, name))


def status_of(state: State | None) -> Status:
    """Tell the same of a state that was read."""
    if state is None:
        return "stopped"
    if state.phase == "waiting":
        return "restarting" if waited_for(state) else "stopped"
    if state.phase == "starting":
        return "starting"
    if not alive(state):
        return "stopped"
    if state.frozen:
        return "frozen"
    words: dict[str, Status] = {"booting": "starting", "stopping": "stopping"}
    return words.get(state.phase, "running")


class End(Value, frozen=True, kw_only=True):
    """How a container's first process ended by itself; kept as `end.json` in its folder."""

    code: int
    """As a shell tells it; 129 is a reboot from inside and 130 a shutdown: the signals by which the
    kernel ends the first process of a container then (reboot(2)), and 128."""
    time: int
    """Seconds since 1970."""


def exit_code(places: Places, name: str) -> int | None:
    """Give how the first process ended, when conmon has seen it end in this boot."""
    try:
        text = (volatile_of(places, name) / layout.EXIT / name).read_bytes()
    except FileNotFoundError:
        return None
    return int(text) if text.isdigit() and len(text) <= 3 else None  # bytes: ASCII alone


def read_end(places: Places, name: str) -> End | None:
    """Give how it last ended by itself; None when it has been started or stopped since."""
    try:
        data = (folder_of(places, name) / layout.END).read_bytes()
        return msgspec.json.decode(data, type=End)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None


def write_end(places: Places, name: str, end: End) -> None:
    """Keep how it ended."""
    durable.replace(folder_of(places, name) / layout.END, canonical(end))


def forget_end(places: Places, name: str) -> None:
    """Let it go; whatever happens next is another matter."""
    (folder_of(places, name) / layout.END).unlink(missing_ok=True)
