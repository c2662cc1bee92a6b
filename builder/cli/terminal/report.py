"""How an error looks on the screen: what is wrong, where, and what to do about it."""

import os
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from builder.model.errors import OvenError, Span, StageError
from builder.model.visible import visible, visible_lines

OUTPUT_LINES = 20
"""How much of a failed command's output is shown: its end, where the reason usually is."""

Part = tuple[str, str]
"""A style that rich knows, and the text that has it."""


def render(error: OvenError) -> str:
    """Draw an error as plain text that ends in a line feed."""
    return "".join(text for _, text in _parts(error))


def show(error: OvenError) -> None:
    """Write an error to stderr, in color on a terminal unless NO_COLOR is set (no-color.org)."""
    if os.environ.get("NO_COLOR") or not sys.stderr.isatty():
        sys.stderr.write(render(error))
        return
    from rich.console import Console
    from rich.text import Text

    text = Text()
    for style, part in _parts(error):
        text.append(part, style=style)
    Console(stderr=True, highlight=False).print(text, end="", soft_wrap=True)


def _parts(error: OvenError) -> Iterator[Part]:
    yield "bold red", "error"
    yield "bold", f": {visible_lines(error.problem)}\n"
    if error.at is not None:
        yield from _place(error.at)
    if isinstance(error, StageError):
        yield from _command(error)
    if error.hint:
        yield "bold cyan", "hint"
        yield "", f": {visible_lines(error.hint)}\n"


def _place(at: Span) -> Iterator[Part]:
    path = visible(str(_near(at.path)))
    if at.line is None:
        yield "blue", "  --> "
        yield "", f"{path}\n"
        return
    gutter = " " * (len(str(at.line)) + 1)
    yield "blue", f"{gutter}--> "
    yield "", f"{path}:{at.line}:{at.column}\n"
    if at.text is None:
        return
    lead, underlined = at.text[: at.column - 1], at.text[at.column - 1 :][: at.length]
    yield "blue", f"{gutter}|\n{at.line} |"
    yield "", f" {visible_lines(at.text)}".rstrip() + "\n"
    yield "blue", f"{gutter}| "
    # A tab stays one, so that the carets stand right however wide the terminal makes it.
    yield "", "".join("\t" if c == "\t" else " " * _width(c) for c in lead)
    yield "bold red", "^" * max(1, sum(map(_width, underlined))) + "\n"


def _command(error: StageError) -> Iterator[Part]:
    lines = error.output.rstrip().splitlines()
    if lines:
        left_out = len(lines) - OUTPUT_LINES
        yield "blue", f"  | … {left_out} lines above\n" if left_out > 0 else "  |\n"
        for line in lines[-OUTPUT_LINES:]:
            yield "blue", "  |"
            yield "", f" {visible_lines(line)}".rstrip() + "\n"
        yield "blue", "  |\n"
    if error.command:
        yield "bold", "command"
        yield "", f": {visible_lines(error.command)}\n"
    if error.log:
        yield "bold", "log"
        yield "", f": {visible(str(_near(error.log)))}\n"


def _near(path: Path) -> Path:
    """Give a path as seen from the current folder when it lies below it."""
    try:
        return path.relative_to(Path.cwd())
    except (ValueError, OSError):  # elsewhere; or the current folder is gone
        return path


def _width(character: str) -> int:
    """Tell how many columns a character takes on a terminal."""
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
