"""What a group of options is."""

from collections.abc import Callable
from typing import Protocol

Decorator = Callable[[Callable[..., object]], Callable[..., object]]


class OptionGroup(Protocol):
    """A module with options."""

    def options(self) -> tuple[Decorator, ...]:
        """Give what click needs to know of them."""
