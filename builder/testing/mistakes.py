"""Mistakes: answers that a parameter must not take, made up from what it says of itself."""

from collections.abc import Iterator

from builder.appliance.schema import type_of
from builder.model.interface import Json, Parameter

_NO = {"hostname": "-x-", "email": "x", "ipv4": "999.1.1.1", "ipv6": ":::", "uri": " ",
       "date": "tomorrow", "time": "late", "date-time": "tomorrow", "duration": "long",
       "regex": "(", "uuid": "x"}  # fmt: skip
"""What is none of a format."""
_OTHER: dict[str, Json] = {"string": 3, "integer": "x", "number": "x", "boolean": "x",
                           "array": "x", "object": "x"}  # fmt: skip
"""What is none of a type."""


def wrong(parameter: Parameter) -> Iterator[Json]:
    """Make up values that a parameter must not take."""
    kind = type_of(parameter)
    yield _OTHER[kind]
    if parameter.enum:
        yield 987654321 if kind in {"integer", "number"} else "no-such"
    if kind == "string" and parameter.format in _NO:
        yield _NO[parameter.format]
    if parameter.min_length:
        yield "x" * (parameter.min_length - 1)
    if parameter.max_length is not None:
        yield "x" * (parameter.max_length + 1)
    if parameter.minimum is not None:
        yield parameter.minimum - 1
    if parameter.maximum is not None:
        yield parameter.maximum + 1
    if parameter.min_items:
        yield []
