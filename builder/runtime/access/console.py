"""The console of a container that runs: what its first process has as its terminal."""

from builder.host.places import Places
from builder.host.process import console
from builder.model.errors import HostError
from builder.runtime.record import state
from builder.runtime.record.layout import BUNDLE, volatile_of
from builder.runtime.recovery import orphans


def attach(places: Places, name: str) -> bool:
    """Join our terminal to the console; give True when it was left, False when it has ended."""
    orphans.look(places, name).need_alive(f"`oven logs {name}` has what it said")
    try:
        return console.attach(volatile_of(places, name) / BUNDLE) is console.Ending.LEFT
    except (ConnectionError, FileNotFoundError) as error:
        if not state.alive(state.read(places, name)):
            return False
        raise HostError(
            f"the monitor of container `{name}` does not answer: {error}",
            hint=f"`oven enter {name}` works without it; a restart of the container begins another",
        ) from error
