"""Answers: what an instance was told, by whom, and what holds where nobody said anything."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

import msgspec

from builder.appliance.schema import type_of
from builder.model.errors import RecipeError, Span
from builder.model.interface import Interface, Json, Parameter
from builder.model.toml.decode import parse
from builder.model.toml.source import Source

PREFIX = "OVEN_ANSWER_"
"""What the name of a variable of the environment begins with that answers a parameter."""


class Origin(Enum):
    """Who gives a value; the first of these counts."""

    OPTION = "--set"
    FILE = "the file of answers"
    ENVIRONMENT = "the environment"
    KEPT = "what was answered before"
    DEFAULT = "the default"
    GENERATED = "made for this instance"
    NOBODY = "nobody"


@dataclass(frozen=True)
class Given:
    """A value that somebody gives a parameter."""

    value: Json
    origin: Origin
    said: str = ""
    """How it is written, where that is no file: `--set port=80`; never the value of a secret."""
    source: Source | None = None
    """The file."""

    def place(self, *where: str | int) -> Span | None:
        """Give where a part of it is written."""
        return self.source.value(*where) if self.source else None


Stack = Mapping[str, Sequence[Given]]
"""For each parameter all that is given, what counts first."""


def gather(
    interface: Interface,
    *,
    options: Sequence[str] = (),
    files: Sequence[Source] = (),
    environment: Mapping[str, str] | None = None,
    kept: Mapping[str, Json] | None = None,
) -> Stack:
    """Collect what all give; RecipeError for a parameter that is none."""
    known = interface.parameters
    found: dict[str, list[Given]] = {name: [] for name in known}
    for option in reversed(options):
        name, given = _option(known, option)
        found[name].append(given)
    for source in reversed(files):
        for name, value in parse(source).items():
            if name not in known:
                raise _unknown(known, name, at=source.key(name))
            said = _plain(name, value, at=source.value(name))
            found[name].append(Given(said, Origin.FILE, source=source))
    for name, parameter in known.items():
        variable = PREFIX + name.upper()
        if environment and variable in environment:
            read = _read(name, parameter, environment[variable])
            found[name].append(Given(read, Origin.ENVIRONMENT, _said(parameter, variable, read)))
        if kept is not None and name in kept:
            found[name].append(Given(kept[name], Origin.KEPT))
        if parameter.default is not msgspec.UNSET:
            found[name].append(Given(parameter.default, Origin.DEFAULT))
    return found


def chosen(stack: Stack) -> dict[str, Given]:
    """Take what counts of each parameter that has anything."""
    return {name: all_of[0] for name, all_of in stack.items() if all_of}


def _option(known: Mapping[str, Parameter], text: str) -> tuple[str, Given]:
    name, equals, written = text.partition("=")
    if not equals:
        raise RecipeError(
            f"`--set {name}` gives no value",
            hint="a value comes after `=`: `--set domain=example.org`",
        )
    if name not in known:
        raise _unknown(known, name)
    value = _read(name, known[name], written)
    return name, Given(value, Origin.OPTION, _said(known[name], f"--set {name}", value))


def _said(parameter: Parameter, name: str, value: object) -> str:
    return f"{name}=…" if parameter.secret else f"{name}={shown(value)}"


def _read(name: str, parameter: Parameter, written: str) -> Json:
    """Read a value as a shell passes it: text as it is, all else as TOML has it."""
    if type_of(parameter) == "string":
        return written
    try:
        value = tomllib.loads(f"value = {written}\n")["value"]
    except (ValueError, RecursionError):
        return written  # which the schema refuses, by the name of the type that it wants
    return _plain(name, value)


def _plain(name: str, value: object, at: Span | None = None) -> Json:
    """Refuse dates and times, which TOML has and JSON has not."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one
        elif not isinstance(one, bool | int | float | str):
            hint = f'write "{one}" in quotes, as text'
            raise RecipeError(f"`{name}` has a date that is not in quotes", at=at, hint=hint)
    return value  # type: ignore[return-value]  # which was seen just now


def _unknown(known: Mapping[str, Parameter], name: str, at: Span | None = None) -> RecipeError:
    import difflib

    problem = f"there is no parameter `{name[:80]}`"
    if close := difflib.get_close_matches(name, known, n=1):
        return RecipeError(problem, at=at, hint=f"did you mean `{close[0]}`?")
    names = ", ".join(f"`{one}`" for one in known) or "none"
    return RecipeError(problem, at=at, hint=f"its parameters are: {names}")


def shown(value: object) -> str:
    """Write a value for a person, on one line that is not too long."""
    from builder.model.visible import visible

    text = value if isinstance(value, str) else msgspec.json.encode(value, enc_hook=str).decode()
    return visible(text if len(text) <= 80 else f"{text[:79]}…")
