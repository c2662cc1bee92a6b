"""Text that a person wrote: TOML in, frozen values out, and mistakes shown where they stand."""

import re
import tomllib
from bisect import bisect_left
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import msgspec

from builder.model.errors import RecipeError, Span
from builder.model.toml_spans import Extent, Spans, find_spans
from builder.model.value import Value

V = TypeVar("V", bound=Value)

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


def decode(text: str, path: Path, kind: type[V]) -> V:
    """Turn the text of a TOML file into a value; the first mistake in it is a RecipeError."""
    return decode_source(source_of(text, path), kind)


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


def decode_source(source: Source, kind: type[V]) -> V:
    """Turn a source into a value; the first mistake in it is a RecipeError."""
    return decode_data(parse(source), source, kind)


def decode_data(data: dict[str, object], source: Source, kind: type[V]) -> V:
    """Turn what a source says into a value; the first mistake in it is a RecipeError."""
    try:
        return msgspec.convert(data, kind)
    except msgspec.ValidationError as error:
        # Imported only now: a right recipe never needs it.
        from builder.model.diagnostics import explain

        raise explain(str(error), data, source, kind) from error


def parse(source: Source) -> dict[str, object]:
    """Read TOML; raises RecipeError with the place of what is none, or too much of it."""
    _refuse_long_keys(source)
    try:
        data = tomllib.loads(source.text)
    except RecursionError as error:
        raise RecipeError("arrays or tables are nested too deeply", at=source.path) from error
    except ValueError as error:  # TOMLDecodeError, and int() on thousands of digits
        raise _syntax_error(str(error), source) from error
    if (many := count_values(data)) > MOST_VALUES:
        most = max(data, key=lambda key: count_values(data[key]))
        raise RecipeError(
            f"this file has {many} values, and {MOST_VALUES} is the most",
            at=source.key(most),
            hint=f"most of them are in `{most[:60]}`",
        )
    return data


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


def _refuse_long_keys(source: Source) -> None:
    if found := _LONG_KEY.search(source.text):
        number = source.text.count("\n", 0, found.start()) + 1
        column = found.start() - source.text.rfind("\n", 0, found.start())
        raise RecipeError(
            f"a key has more than {_MOST_PARTS} parts", at=source.line(number, column)
        )


_PLACE = re.compile(
    r"^(?P<what>.*) \(at (?:line (?P<line>\d+), column (?P<column>\d+)|end.*)\)$", re.DOTALL
)
_BARE_WORD = re.compile(r"[^\s\[\]{}\"',#=]+")


def _syntax_error(message: str, source: Source) -> RecipeError:
    found = _PLACE.match(message)
    if found is None:
        return RecipeError("this is not TOML: a number is too long", at=source.path)
    what = found["what"]
    if found["line"] is None:
        return _left_open(source)
    number, column = int(found["line"]), int(found["column"])
    if re.match(r"Cannot (overwrite|declare|mutate)", what):
        return _said_twice(source, number)
    if what == r"Illegal character '\n'":
        what, hint = "a string has no closing quote", "a string ends on the line that it starts on"
        return RecipeError(f"this is not TOML: {what}", at=source.line(number, column), hint=hint)
    word = _BARE_WORD.match(source.line(number).text or "", column - 1)
    return RecipeError(
        f"this is not TOML: {what[0].lower()}{what[1:]}",
        at=source.line(number, column, len(word[0]) if word else 1),
        hint=_quoting_hint(word[0]) if what == "Invalid value" and word else None,
    )


def _left_open(source: Source) -> RecipeError:
    text = source.text.rstrip()
    return RecipeError(
        "this is not TOML: the file ends in the middle of something",
        at=source.line(text.count("\n") + 1, len(text) - text.rfind("\n")),
        hint="look for a `]`, a `}` or a quote that is missing",
    )


def _quoting_hint(word: str) -> str:
    if word.lower() in {"true", "false"}:
        return f"write `{word.lower()}`"
    return f'text stands in quotes: `"{word}"`'


def _said_twice(source: Source, number: int) -> RecipeError:
    """Make the error for a key or table that is there already; the whole of it is underlined."""
    line = source.line(number).text or ""
    start = len(line) - len(line.lstrip())
    header = line.lstrip().startswith("[")
    said = line[start : line.rfind("]") + 1] if header else line[start:].split("=")[0].rstrip()
    kind = "table" if header else "key"
    if not header and "=" not in line:  # the end of a value of several lines
        return RecipeError(
            "the key of the value that ends here is there already", at=source.line(number)
        )
    return RecipeError(
        f"the {kind} `{said.strip('[] ')}` is there already",
        at=source.line(number, start + 1, len(said)),
        hint=f"keep one of the two {kind}s",
    )
