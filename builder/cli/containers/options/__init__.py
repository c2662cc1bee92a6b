"""The options that describe a container, in groups that `run`, `create` and `set` share."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from builder.cli.containers.options import features, life, limits, network, storage
from builder.cli.containers.options.groups import Decorator, OptionGroup

if TYPE_CHECKING:
    from builder.runtime.record.container import Container

# Each group is a module with `options`, what click needs to know, and `describe`, which lays what
# was given over a container's record; what is missing or None was not given. None of them imports
# click before it is asked for options: the quick way does without.

_GROUPS = (network, limits, storage, features, life)


def with_options(*groups: OptionGroup) -> Decorator:
    """Add the options of these groups to a command."""

    def add(command: Callable[..., object]) -> Callable[..., object]:
        for group in reversed(groups):
            for option in reversed(group.options()):
                command = option(command)
        return command

    return add


def container_options(command: Callable[..., object]) -> Callable[..., object]:
    """Add all options that describe a container."""
    return with_options(*_GROUPS)(command)


def describe(container: "Container", given: Mapping[str, object]) -> "Container":
    """Lay what was typed over a container's record."""
    for group in _GROUPS:
        container = group.describe(container, given)
    return container
