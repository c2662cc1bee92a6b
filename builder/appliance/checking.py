"""Checking: values held against a JSON Schema, by a library, in a process that has bounds."""

from collections.abc import Mapping
from functools import partial
from typing import IO, Any

import msgspec

from builder.host.process.bounded import Bounds, within
from builder.model.interface import Schema

# A schema comes with a template, which anybody may have made: one pattern can take a processor's
# year, or all memory.

_BOUNDS = Bounds(seconds=5, memory=512 << 20)
_MOST = 20
"""Mistakes that are told at once."""

FORMATS = frozenset({
    "date", "date-time", "duration", "email", "hostname", "idn-email", "idn-hostname", "ipv4",
    "ipv6", "iri", "regex", "time", "uri", "uri-reference", "uuid",
})  # fmt: skip
"""The formats that are looked at; JSON Schema lets any other one say anything."""


class Mistake(msgspec.Struct, frozen=True):
    """What a schema says of a value."""

    where: tuple[str | int, ...]
    """The keys and indexes that lead to the value."""
    word: str
    """The word of the schema that the value breaks."""
    wanted: Any
    """What the schema says by that word."""
    said: str
    """What the library says; it may have the value in it."""


class _Outcome(msgspec.Struct, frozen=True):
    mistakes: tuple[Mistake, ...] = ()
    schema: str = ""
    """What is wrong with the schema itself, if anything."""


class SchemaError(Exception):
    """A schema is none, or takes too long."""


def mistakes(schema: Schema, value: Mapping[str, object]) -> tuple[Mistake, ...]:
    """Hold a value against a schema; SchemaError where that is none."""
    import jsonschema_rs  # noqa: F401  # after the fork it would be lost

    ended = within(_BOUNDS, partial(_work, schema, value))
    if not ended.written:
        raise SchemaError("it takes too much time or memory")
    outcome = msgspec.json.decode(ended.written, type=_Outcome)
    if outcome.schema:
        raise SchemaError(outcome.schema)
    return outcome.mistakes


def _work(schema: Schema, value: Mapping[str, object], out: IO[bytes]) -> None:
    from jsonschema_rs import Draft202012Validator, ValidationError

    try:
        validator = Draft202012Validator(schema, validate_formats=True, retriever=_refuse)
    except (ValidationError, ValueError) as error:
        said = str(error).partition("\n")[0][:500]
        out.write(msgspec.json.encode(_Outcome(schema=said)))
        return
    found = []
    for one in validator.iter_errors(value):
        word, wanted = str(one.schema_path[-1]), _said(schema, one.schema_path)
        found.append(Mistake(tuple(one.instance_path), word, wanted, one.message[:500]))
        if len(found) == _MOST:
            break
    out.write(msgspec.json.encode(_Outcome(tuple(found))))


def _said(schema: Any, path: list[str | int]) -> Any:  # whatever is there
    for part in path:
        try:
            schema = schema[part]
        except (KeyError, IndexError, TypeError):
            return None  # it went through a reference
    return schema


def _refuse(address: str) -> Schema:
    """Fetch nothing: a schema may point into itself, and to nowhere else."""
    raise ValueError(f"it points to `{address}`, and nothing is fetched")
