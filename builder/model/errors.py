"""Errors, sorted by who must act; each says what is wrong, where, and what to do."""

from pathlib import Path
from typing import ClassVar

import msgspec


class Span(msgspec.Struct, frozen=True):
    """A place in a file that a person wrote.

    `line` and `column` count from 1; `length` is the number of characters to underline;
    `text` is the whole line, so that an error can be drawn without reading the file again.
    """

    path: Path
    line: int | None = None
    column: int = 1
    length: int = 1
    text: str | None = None


class OvenError(Exception):
    """Something that Oven can explain; `exit_code` is what the command line ends with."""

    exit_code: ClassVar[int] = 1

    def __init__(
        self, problem: str, *, at: Span | Path | None = None, hint: str | None = None
    ) -> None:
        super().__init__(problem)
        self.problem = problem
        self.at = Span(at) if isinstance(at, Path) else at
        self.hint = hint


class RecipeError(OvenError):
    """The author of a recipe or a command line has to change something."""

    exit_code = 2


class HostError(OvenError):
    """The operator has to change something on this machine."""

    exit_code = 3


class UpstreamError(OvenError):
    """A mirror failed; trying again later may help."""

    exit_code = 4


class TrustError(OvenError):
    """A signature or a digest is wrong; nothing may wave this through."""

    exit_code = 5


class StageError(OvenError):
    """A command in a stage failed; `output` is what it printed, `command` can be pasted."""

    exit_code = 6

    def __init__(
        self,
        problem: str,
        *,
        at: Span | Path | None = None,
        hint: str | None = None,
        command: str | None = None,
        output: str = "",
    ) -> None:
        super().__init__(problem, at=at, hint=hint)
        self.command = command
        self.output = output
        self.log: Path | None = None
        """Where all of the build that it ended is written down."""


class NotFoundError(OvenError):
    """There is no template, container or recipe of that name."""

    exit_code = 7


class ConflictError(OvenError):
    """The name is taken, or the thing is in a state that does not allow this."""

    exit_code = 7
