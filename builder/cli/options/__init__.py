"""The options that describe a container, in groups that `run`, `create` and `set` share."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from builder.cli.options import life, limits, network, storage

if TYPE_CHECKING:
    from builder.runtime.container import Container

# Each group is a module with `options`, what click needs to know, and `describe`, which lays what
# was given over a container's record; what is missing or None was not given. None of them imports
# click before it is asked for options: the quick way does without.

Decorator = Callable[[Callable[..., object]], Callable[..., object]]

_GROUPS = (network, limits, storage, life)


def container_options(command: Callable[..., object]) -> Callable[..., object]:
    """Add all options that describe a container."""
    for group in reversed(_GROUPS):
        for option in reversed(group.options()):
            command = option(command)
    return command


def describe(container: "Container", given: Mapping[str, object]) -> "Container":
    """Turn what was typed into a container's record."""
    for group in _GROUPS:
        container = group.describe(container, given)
    return container
