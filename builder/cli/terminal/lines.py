"""How work is told where there is no terminal: in plain lines."""

import sys
from typing import TYPE_CHECKING, Self

import click

from builder.model.progress import ProgressTask

if TYPE_CHECKING:
    from builder.cli.terminal.progress import Progressing


def reporter(*, explain: bool = False) -> "Progressing | Lines":
    """Give the reporter that fits where stderr goes."""
    if not sys.stderr.isatty():
        return Lines(explain=explain)
    from rich.console import Console

    from builder.cli.terminal.progress import Progressing

    return Progressing(Console(stderr=True), explain=explain)


class Lines:
    """A Reporter for logs and pipes: one plain line when something starts or is said."""

    def __init__(self, *, explain: bool = False) -> None:
        self._explain = explain

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """There is nothing to put away."""

    def say(self, line: str, /) -> None:
        """Print the line."""
        self._print(line)

    def stage(self, name: str, outcome: str, reason: str, /) -> None:
        """Print why a stage runs or was kept, when `--explain` asks for it."""
        if self._explain:
            self._print(f"  {name:<27} {outcome}  {reason}")

    def begin(self, label: str, /, *, total: int | None = None, unit: str = "") -> ProgressTask:
        """Print that the work begins; its end is printed too when there is something to say."""
        size = f" ({total / 1e6:.1f} MB)" if total and unit == "B" else ""
        self._print(f"{label}{size} ...")
        return _Line(self, label)

    def _print(self, line: str) -> None:
        click.echo(line, err=True)


class _Line:
    def __init__(self, lines: Lines, label: str) -> None:
        self._lines, self._label = lines, label

    def advance(self, amount: int, /) -> None:
        """A log does not show every step."""

    def close(self, outcome: str = "", /) -> None:
        if outcome:
            self._lines.say(f"{self._label}: {outcome}")
