"""State: what is true of a container now, as far as it ends with the boot."""

from typing import Literal

import msgspec

from builder.host import files, processes
from builder.host.places import Places
from builder.model.value import Value, canonical
from builder.runtime.container import Status, volatile_of


class State(Value, frozen=True, kw_only=True):
    """What is known of a container that was started; kept as `state.json` while it runs.

    The phase `starting` is the intent that is written before anything is done: when nobody holds
    the container's lock and it is still there, the command that wrote it has died.
    """

    phase: Literal["starting", "running"]
    boot: str
    """The boot of the host that this was true in."""
    pid: int = 0
    """The container's first process, as the host numbers it."""
    pid_started: int = 0
    monitor: int = 0
    """conmon, which keeps the console and waits for the end."""
    monitor_started: int = 0
    since: int = 0
    """Seconds since 1970 when it was started."""
    ready: bool = False
    """Whether its init has said that all is up."""
    address: str | None = None
    """The address that the network gave it."""


def read(places: Places, name: str) -> State | None:
    """Give what was last written; None when there is nothing, or nothing of this boot."""
    path = volatile_of(places, name) / "state.json"
    try:
        state = msgspec.json.decode(path.read_bytes(), type=State)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None
    return state if state.boot == processes.boot_id() else None


def write(places: Places, name: str, state: State) -> None:
    """Replace what was written."""
    files.replace(volatile_of(places, name) / "state.json", canonical(state))


def alive(state: State | None) -> bool:
    """Tell whether the first process of a container runs."""
    return state is not None and processes.is_alive(state.pid, state.pid_started)


def status(places: Places, name: str) -> Status:
    """Tell in one word what a container does, whatever has happened to it meanwhile."""
    state = read(places, name)
    if state is not None and state.phase == "starting":
        return "starting"
    return "running" if alive(state) else "stopped"


def exit_code(places: Places, name: str) -> int | None:
    """Give how the first process ended, when conmon has seen it end in this boot."""
    try:
        text = (volatile_of(places, name) / "exit" / name).read_text(encoding="ascii")
    except FileNotFoundError:
        return None
    return int(text) if text.isdigit() else None
