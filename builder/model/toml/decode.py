"""TOML in, frozen values out; what is no TOML is shown with a guess at what was meant."""

import re
import tomllib
from pathlib import Path
from typing import TypeVar

import msgspec

from builder.model.errors import RecipeError
from builder.model.toml.source import (
    MOST_VALUES,
    Source,
    count_values,
    refuse_long_keys,
    source_of,
)
from builder.model.value import Value

V = TypeVar("V", bound=Value)


def decode(text: str, path: Path, kind: type[V]) -> V:
    """Turn the text of a TOML file into a value; the first mistake in it is a RecipeError."""
    return decode_source(source_of(text, path), kind)


def decode_source(source: Source, kind: type[V]) -> V:
    """Turn a source into a value; the first mistake in it is a RecipeError."""
    return decode_data(parse(source), source, kind)


def decode_data(data: dict[str, object], source: Source, kind: type[V]) -> V:
    """Turn what a source says into a value; the first mistake in it is a RecipeError."""
    try:
        return msgspec.convert(data, kind)
    except msgspec.ValidationError as error:
        # Imported only now: a right recipe never needs it.
        from builder.model.toml.diagnostics import explain

        raise explain(str(error), data, source, kind) from error


def parse(source: Source) -> dict[str, object]:
    """Read TOML; raises RecipeError with the place of what is none, or too much of it."""
    refuse_long_keys(source)
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
