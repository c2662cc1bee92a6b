"""Health probes as an instance has them: what their texts say of parameters, filled in."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from builder.appliance.rendering import render
from builder.appliance.variables import Variables
from builder.model.errors import HostError, RecipeError
from builder.model.health import HealthProbe

_MARKS = ("{{", "{%")


def rendered(probes: Sequence[HealthProbe], variables: Variables) -> tuple[HealthProbe, ...]:
    """Fill in all texts; HostError for one that cannot be."""
    found: list[Any] = msgspec.to_builtins(probes)
    texts = {Path(f"{one['name']}.{number}"): text.encode()
             for one in found for number, text in enumerate(_texts(one))}  # fmt: skip
    if not texts:
        return tuple(probes)
    try:
        filled = render(texts, variables)
    except RecipeError as error:
        where = error.at.path.stem if error.at else "?"
        raise _unusable(where, error.problem) from error
    made = {str(path): text.decode() for path, text in filled.items()}
    return tuple(_filled(one, made) for one in found)


def _texts(probe: dict[str, Any]) -> Iterator[str]:
    """Give what has to be filled in, in order."""
    values = (value for value in probe.values() if isinstance(value, str | tuple))
    for value in values:
        for text in [value] if isinstance(value, str) else value:
            if any(mark in text for mark in _MARKS):
                yield text


def _filled(probe: dict[str, Any], made: dict[str, str]) -> HealthProbe:
    numbers = iter(range(len(made)))

    def fill(text: str) -> str:
        if any(mark in text for mark in _MARKS):
            return made[f"{probe['name']}.{next(numbers)}"]
        return text

    values = {key: _with(value, fill) for key, value in probe.items()}
    try:
        return msgspec.convert(values, HealthProbe)
    except msgspec.ValidationError as error:
        raise _unusable(probe["name"], str(error)) from error


def _with(value: object, fill: Callable[[str], str]) -> object:
    if isinstance(value, str):
        return fill(value)
    return [fill(one) for one in value] if isinstance(value, tuple) else value


def _unusable(name: str, why: str) -> HostError:
    return HostError(
        f"the probe `{name}` cannot be used: {why}",
        hint="an answer does not fit it, or whoever made the template has to mend it",
    )
