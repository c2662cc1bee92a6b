"""How work tells of itself; the command line decides what that looks like."""

from typing import Protocol


class ProgressTask(Protocol):
    """One piece of work under way."""

    def advance(self, amount: int, /) -> None:
        """Say that `amount` more units (bytes, packages) are done."""

    def close(self, outcome: str = "", /) -> None:
        """Say that it has ended, and with what, in a few words."""


class Reporter(Protocol):
    """Is told what goes on; carries no data that could change a result."""

    def say(self, line: str, /) -> None:
        """Tell one line that a person should see."""

    def stage(self, name: str, outcome: str, reason: str, /) -> None:
        """Tell that a stage `runs` or was `kept`, and why; `--explain` shows it."""

    def begin(self, label: str, /, *, total: int | None = None, unit: str = "") -> ProgressTask:
        """Start a piece of work; `total` in `unit` (`B` for bytes), or None when unknown."""


class Silent:
    """Reports nothing."""

    def say(self, line: str, /) -> None:
        """Ignore the line."""

    def stage(self, name: str, outcome: str, reason: str, /) -> None:
        """Ignore the stage."""

    def begin(self, label: str, /, *, total: int | None = None, unit: str = "") -> ProgressTask:  # noqa: ARG002
        """Give a task that ignores everything."""
        return self

    def advance(self, amount: int, /) -> None:
        """Ignore the amount."""

    def close(self, outcome: str = "", /) -> None:
        """Ignore the end."""
