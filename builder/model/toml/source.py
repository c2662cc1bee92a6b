"""Text that a person wrote: TOML in, frozen values out, and mistakes shown where they stand."""

import re
from bisect import bisect_left
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from builder.model.errors import RecipeError, Span
from builder.model.toml.spans import Extent, Spans, find_spans

MOST_VALUES = 10_000
"""So many values, tables and lists may a file have; what is done with them may take longer for
each that is there already."""

_MOST_PARTS = 64
"""So many parts may a dotted key have: the parser copies all that came before for each of them."""

_PART = r"""(?:(?<![A-Za-z0-9_-])[A-Za-z0-9_-]++|"[^"\n]*+"|'[^'\n]*+')"""
_LONG_KEY = re.compile(rf"{_PART}(?:[ \t]*+\.[ \t]*+{_PART}){{{_MOST_PARTS},}}+")


@dataclass(frozen=True)
class Source:
    """A file's path and text; it finds the place of every key and value in it."""

    path: Path
    text: str

    @cached_property
    def _spans(self) -> Spans:
        return find_spans(self.text)

    @cached_property
    def _ends(self) -> list[int]:
        """Where each line ends."""
        return [found.start() for found in re.finditer("\n", self.text)]

    @cached_property
    def _lines(self) -> list[str]:
        return self.text.split("\n")

    def key(self, *where: str | int) -> Span:
        """Give the place of a key, or of the nearest table around it."""
        return self._span(self._spans.key(where))

    def value(self, *where: str | int) -> Span:
        """Give the place of a value, or of the nearest table around it."""
        return self._span(self._spans.value(where))

    def has(self, *where: str | int) -> bool:
        """Tell whether there is such a value."""
        return where in self._spans.values

    def written(self, *where: str | int) -> str:
        """Give a value as it is written."""
        start, end = self._spans.value(where) or (0, 0)
        return self.text[start:end]

    def line(self, number: int, column: int = 1, length: int = 1) -> Span:
        """Give a place by line and column, kept within the text."""
        lines = self._lines
        number = min(max(number, 1), len(lines))
        text = lines[number - 1]
        column = min(max(column, 1), len(text) + 1)
        length = max(1, min(length, len(text) - column + 1))
        return Span(self.path, number, column, length, text)

    def _span(self, extent: Extent | None) -> Span:
        start, end = extent or (0, 0)
        above = bisect_left(self._ends, start)
        column = start - (self._ends[above - 1] if above else -1)
        return self.line(above + 1, column, max(1, end - start))


def source_of(text: str, path: Path) -> Source:
    """See a text as its parser does: a byte order mark and carriage returns say nothing."""
    return Source(path, text.removeprefix("\ufeff").replace("\r\n", "\n"))


def source_of_bytes(data: bytes, path: Path) -> Source:
    """Read bytes as UTF-8; the place of the first byte that is not is in the error."""
    try:
        return source_of(data.decode(), path)
    except UnicodeDecodeError as error:
        lines = data[: error.start].decode().split("\n")
        shown = Source(path, data.decode(errors="replace"))
        raise RecipeError(
            f"this is not UTF-8 text: byte 0x{data[error.start]:02x}",
            at=shown.line(len(lines), len(lines[-1]) + 1),
            hint="save the file as UTF-8",
        ) from error


def count_values(value: object) -> int:
    """Count a value and all that is in it."""
    many, waiting = 0, [value]
    while waiting:
        one = waiting.pop()
        many += 1
        if isinstance(one, dict):
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one
    return many


def refuse_long_keys(source: Source) -> None:
    """Refuse keys of so many parts that the parser would take long over them."""
    if found := _LONG_KEY.search(source.text):
        number = source.text.count("\n", 0, found.start()) + 1
        column = found.start() - source.text.rfind("\n", 0, found.start())
        raise RecipeError(
            f"a key has more than {_MOST_PARTS} parts", at=source.line(number, column)
        )
