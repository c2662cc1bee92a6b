"""Settled answers: all of them checked against the interface, and what is still missing."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from builder.appliance import answers, schema
from builder.appliance.answers import Given, Origin
from builder.appliance.checking import Mistake, SchemaError, mistakes
from builder.appliance.expressions import hold
from builder.appliance.rendering import lowered
from builder.model.errors import HostError, RecipeError
from builder.model.instance import Answers
from builder.model.interface import Interface, Json, Parameter


def settle(interface: Interface, chosen: Mapping[str, Given]) -> Answers:
    """Check all answers; RecipeError for the first that is wrong, with what is allowed."""
    values = {name: one.value for name, one in chosen.items()}
    form = schema.document("", interface)
    form["required"] = []
    try:
        found = mistakes(form, values)
    except SchemaError as error:
        raise HostError(
            f"the interface of this template cannot be used: {error}",
            hint="whoever made the template has to mend its `[parameters]`",
        ) from error
    if found:
        raise _wrong(interface, chosen, found)
    asked = _asked(interface, values)
    missing = [name for name in interface.required if name in asked and name not in values]
    if not missing:  # or what must hold may speak of what is not there yet
        _check_together(interface, values)
    said = {Origin.OPTION, Origin.FILE, Origin.ENVIRONMENT, Origin.KEPT}
    return Answers(
        values=values,
        given={name: one.value for name, one in chosen.items() if one.origin in said},
        missing=tuple(missing),
    )


def seen(interface: Interface, values: Mapping[str, Json]) -> dict[str, Any]:
    """Give what templates see as `parameters`: one without a value is None."""
    return {name: values.get(name) for name in interface.parameters}


def _asked(interface: Interface, values: Mapping[str, Json]) -> set[str]:
    conditional = {name: one.when for name, one in interface.parameters.items() if one.when}
    outcome = hold(list(conditional.values()), seen(interface, values))
    off = {name for name, holds in zip(conditional, outcome, strict=True) if not holds}
    return set(interface.parameters) - off


def _check_together(interface: Interface, values: Mapping[str, Json]) -> None:
    outcome = hold([one.that for one in interface.asserts], seen(interface, values))
    for one, holds in zip(interface.asserts, outcome, strict=True):
        if not holds:
            raise RecipeError(one.message, hint=f"this must hold: `{one.that}`")


def _wrong(
    interface: Interface, chosen: Mapping[str, Given], found: Sequence[Mistake]
) -> RecipeError:
    mistake = found[0]
    name = str(mistake.where[0])
    given, parameter = chosen[name], interface.parameters[name]
    problem = f"`{_path(mistake.where)}` {wanted(mistake, secret=parameter.secret)}"
    if not parameter.secret:
        problem += f", and this is {_given(chosen, mistake)}"
    if given.said:
        problem = f"{given.said}: {problem}"
    more = f"{len(found) - 1} more of the answers are wrong" if len(found) > 1 else ""
    hint = "; ".join(word for word in (parameter.title, more) if word)
    at = None if parameter.secret else given.place(*mistake.where)
    if at is None and given.source is not None:
        at = given.source.key(name)
        at = msgspec.structs.replace(at, text=None)  # the line has the secret
    return RecipeError(problem, at=at, hint=hint or None)


def _path(where: Sequence[str | int]) -> str:
    text = ""
    for part in where:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _given(chosen: Mapping[str, Given], mistake: Mistake) -> str:
    value: Any = chosen[str(mistake.where[0])].value
    for part in mistake.where[1:]:
        value = value[part]
    text = f"`{answers.shown(value)}`"
    return f"{text}, of type {schema.type_of_value(value)}" if mistake.word == "type" else text


_WORDS = {
    "type": "must be of type {}",
    "enum": "must be one of {}",
    "const": "must be {}",
    "minimum": "must be at least {}",
    "maximum": "must be at most {}",
    "exclusiveMinimum": "must be more than {}",
    "exclusiveMaximum": "must be less than {}",
    "multipleOf": "must be a multiple of {}",
    "minLength": "must have at least {} characters",
    "maxLength": "must have at most {} characters",
    "minItems": "must have at least {} items",
    "maxItems": "must have at most {} items",
    "pattern": "must match `{}`",
    "uniqueItems": "has an item twice",
}
_FORMATS = {
    "hostname": "a host name", "idn-hostname": "a host name", "email": "an e-mail address",
    "ipv4": "an IPv4 address", "ipv6": "an IPv6 address", "uri": "a URL", "date": "a date",
    "time": "a time", "date-time": "a date and time", "uuid": "a UUID", "duration": "a duration",
    "regex": "a regular expression",
}  # fmt: skip


def wanted(mistake: Mistake, *, secret: bool) -> str:
    """Say what a value must be, without the value."""
    said = mistake.wanted
    if mistake.word == "format":
        return f"must be {_FORMATS.get(said, f'of the format `{said}`')}"
    if mistake.word == "enum":
        return f"must be one of {', '.join(f'`{answers.shown(one)}`' for one in said)}"
    if mistake.word in _WORDS:
        return _WORDS[mistake.word].format(answers.shown(said))
    return "is not allowed" if secret else f"is wrong: {lowered(mistake.said)}"


def of_parameter(parameter: Parameter, value: Json) -> Mistake | None:
    """Hold one value against its parameter, as somebody types it."""
    found = mistakes({"properties": {"x": schema.of_parameter(parameter)}}, {"x": value})
    return found[0] if found else None
