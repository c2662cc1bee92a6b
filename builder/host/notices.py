"""Notices: what a person should know while a command is at work, told by whoever speaks."""

from typing import Protocol


class Hearer(Protocol):
    """Is told in one sentence; the command line prints it."""

    def __call__(self, text: str, /) -> None:
        """Take note."""


_hearers: list[Hearer] = []


def listen(hearer: Hearer) -> None:
    """Have notices told to `hearer`, for the rest of the process; a second one replaces it."""
    _hearers[:] = [hearer]


def tell(text: str) -> None:
    """Tell those who listen."""
    for hearer in _hearers:
        hearer(text)
