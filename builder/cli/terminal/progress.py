"""How work looks while it goes on, on a terminal: bars, and a line of history for each."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TransferSpeedColumn,
)
from rich.progress import Task as RichTask
from rich.table import Column
from rich.text import Text

from builder.model.progress import ProgressTask


class Progressing:
    """A Reporter that draws on a terminal's stderr; use it as a context manager."""

    def __init__(self, console: Console, *, explain: bool = False) -> None:
        self._console = console
        self._explain = explain
        self._bars = Progress(
            SpinnerColumn(style="yellow"),
            TextColumn("{task.description}", table_column=Column(min_width=26)),
            BarColumn(bar_width=28, complete_style="yellow"),
            _Amount(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def say(self, line: str, /) -> None:
        """Print a line above the bars."""
        self._console.print(line, markup=False, highlight=False)

    def stage(self, name: str, outcome: str, reason: str, /) -> None:
        """Print why a stage runs or was kept, when `--explain` asks for it."""
        if self._explain:
            style = "green" if outcome == "kept" else "yellow"
            line = Text.assemble(f"  {name:<27} ", (outcome, style), "  ", (reason, "dim"))
            self._console.print(line)

    def begin(self, label: str, /, *, total: int | None = None, unit: str = "") -> ProgressTask:
        """Show a bar, or a spinner when the total is unknown."""
        return _Bar(self._bars, self._console, label, total, unit)


class _Bar:
    """One line of the display; when it ends it becomes a line of history."""

    def __init__(
        self, bars: Progress, console: Console, label: str, total: int | None, unit: str
    ) -> None:
        self._bars, self._console, self._label = bars, console, label
        self._started = time.monotonic()
        self._id: TaskID = bars.add_task(label, total=total, unit=unit)

    def advance(self, amount: int, /) -> None:
        self._bars.advance(self._id, amount)

    def close(self, outcome: str = "", /) -> None:
        self._bars.remove_task(self._id)
        seconds = time.monotonic() - self._started
        sign = ("✗ ", "red") if outcome == "failed" else ("✓ ", "green")
        line = Text.assemble(sign, f"{self._label:<26} ", (outcome, "dim"))
        self._console.print(line, Text(f" {seconds:.1f} s", style="dim"), sep="")


class _Amount(ProgressColumn):
    """Bytes with their speed, a count, or nothing, as the task's unit says."""

    def __init__(self) -> None:
        super().__init__()
        self._bytes, self._speed, self._count = (
            DownloadColumn(),
            TransferSpeedColumn(),
            MofNCompleteColumn(),
        )

    def render(self, task: RichTask) -> Text:
        if task.total is None:
            return Text("")
        if task.fields.get("unit") == "B":
            return Text(" ").join([self._bytes.render(task), self._speed.render(task)])
        return self._count.render(task)


class Waiting:
    """A spinner on stderr while one thing is waited for."""

    def __init__(self, label: str) -> None:
        self._status = Console(stderr=True).status(label, spinner="dots")

    def __enter__(self) -> Self:
        self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._status.stop()
