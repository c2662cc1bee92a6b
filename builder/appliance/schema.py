"""Schemas: an interface as JSON Schema, for editors, forms and the library that checks answers."""

import msgspec

from builder.model.interface import Interface, Parameter, Schema

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_TYPES: dict[type, str] = {
    bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object",
}  # fmt: skip


def document(name: str, interface: Interface) -> Schema:
    """Give the schema of an `answers.toml`."""
    return {
        "$schema": DIALECT,
        "title": f"Answers for {name}",
        "type": "object",
        "properties": {key: of_parameter(one) for key, one in interface.parameters.items()},
        # What depends on other answers is looked at when these are known.
        "required": [key for key in interface.required if interface.parameters[key].when is None],
        "additionalProperties": False,
    }


def of_parameter(parameter: Parameter) -> Schema:
    """Give the schema of one answer; the words that JSON Schema lacks are in it as annotations."""
    plain: Schema = {
        field.encode_name: msgspec.to_builtins(value)
        for field in msgspec.structs.fields(Parameter)
        if (value := getattr(parameter, field.name)) is not field.default
    }
    plain["type"] = type_of(parameter)
    if parameter.secret:
        plain["writeOnly"] = True
    return plain


def type_of(parameter: Parameter) -> str:
    """Give the JSON Schema type of a parameter, said or as its default has it."""
    if parameter.type is not None:
        return parameter.type
    return "string" if parameter.default is msgspec.UNSET else _TYPES[type(parameter.default)]


def type_of_value(value: object) -> str:
    """Name the type of a value as JSON Schema does; a date or time of TOML is none of these."""
    return _TYPES.get(type(value), "no value that JSON has")
