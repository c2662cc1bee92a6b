"""The log of a build: all that it does and all that is said while it does it."""

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from builder.cli.building.workplace import Workplace
from builder.host.programs import Command, watching
from builder.model.errors import OvenError, StageError
from builder.model.progress import ProgressTask, Reporter
from builder.model.visible import visible
from builder.store.logs import LogFile

if TYPE_CHECKING:
    from builder.model.recipe import Arch


@contextlib.contextmanager
def logged(work: Workplace, name: str, arch: "Arch") -> Iterator[Workplace]:
    """Give the workplace in which what is done is written down; an error of a stage names where.

    Of a build that had nothing to do there is no log.
    """
    file = LogFile(work.tools.store.root, name, arch)
    log = _BuildLog(work.tools.report, file)
    try:
        with watching(log):
            yield replace(work, tools=replace(work.tools, report=log))
    except OvenError as error:
        if isinstance(error, StageError):
            log.said(error.output)
            error.log = file.path if file.path.is_file() else None
        file.end(f"failed: {error.problem}")
        raise
    except BaseException as error:
        file.end(f"ended: {type(error).__name__}")
        raise
    else:
        if log.worked:
            file.end("built")
        else:
            file.drop()


class _BuildLog:
    """Writes down what a reporter and who watches commands are told, and tells the reporter."""

    def __init__(self, report: Reporter, file: LogFile) -> None:
        self._report, self._file = report, file
        self.worked = False

    def say(self, line: str, /) -> None:
        self._file.write(line)
        self._report.say(line)

    def stage(self, name: str, outcome: str, reason: str, /) -> None:
        self.worked = self.worked or outcome != "kept"
        self._file.write(f"{name}: {outcome}, {reason}")
        self._report.stage(name, outcome, reason)

    def begin(self, label: str, /, *, total: int | None = None, unit: str = "") -> ProgressTask:
        return self._report.begin(label, total=total, unit=unit)

    def __call__(self, command: Command, /) -> None:
        self._file.write(f"+ {command}")

    def said(self, text: str, /) -> None:
        for line in text.splitlines():
            self._file.write(f"  {visible(line)}")
