"""Writing TOML: a recipe's values as text, each with a remark behind it if there is one."""

import json
import re
from collections.abc import Callable, Iterable, Iterator

import msgspec

from builder.model.recipe import Recipe
from builder.model.toml.spans import Where

Remark = Callable[[Where], str]
"""Gives what stands behind a value, or nothing."""

Line = tuple[str, str]
"""A line and its remark."""

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def recipe_text(recipe: Recipe) -> str:
    """Write a recipe so that reading it gives the same; what is as by default is left out."""
    return "".join(f"{line}\n" for line, _ in recipe_lines(given(recipe), lambda _: ""))


def table_lines(key: str, tables: Iterable[msgspec.Struct]) -> Iterator[str]:
    """Write some of a recipe's tables that there may be many of, such as `[[user]]`."""
    found = [_said(one) for one in tables]
    return (line for line, _ in recipe_lines({key: found}, lambda _: "")) if found else iter(())


def given(recipe: Recipe) -> dict[str, object]:
    """Give what a recipe says beyond the defaults, by the keys that people write."""
    return _said(recipe)


def _said(struct: msgspec.Struct) -> dict[str, object]:
    found: dict[str, object] = {}
    for field in msgspec.structs.fields(struct):
        value: object = getattr(struct, field.name)
        if not field.required and value == _default(field):
            continue
        found[field.encode_name] = _plain(value)
    return found


def _default(field: msgspec.structs.FieldInfo) -> object:
    if field.default is not msgspec.NODEFAULT:
        return field.default
    return field.default_factory() if field.default_factory is not msgspec.NODEFAULT else None


def _plain(value: object) -> object:
    if isinstance(value, msgspec.Struct):
        return _said(value)
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value


def recipe_lines(data: dict[str, object], remark: Remark, at: Where = ()) -> Iterator[Line]:
    """Write a table: first its values, then the tables in it."""
    inner = {key: value for key, value in data.items() if _is_table(value)}
    for key, value in data.items():
        if key not in inner:
            yield from _value_lines(key, value, remark, (*at, key))
    for key, value in inner.items():
        where = (*at, key)
        header = ".".join(_key(part) for part in where if isinstance(part, str))
        tables = value if isinstance(value, list) else [value]
        for index, table in enumerate(tables):
            place = (*where, index) if isinstance(value, list) else where
            # A table that only holds tables needs no header of its own.
            if isinstance(value, list) or not table or not all(map(_is_table, table.values())):
                yield "", ""
                yield (f"[[{header}]]" if isinstance(value, list) else f"[{header}]"), ""
            yield from recipe_lines(table, remark, place)


def _value_lines(key: str, value: object, remark: Remark, where: Where) -> Iterator[Line]:
    items = value if isinstance(value, list) else []
    remarks = [remark((*where, index)) for index in range(len(items))]
    if len(set(remarks)) > 1:
        # The items come from different places, so each has its line.
        yield f"{_key(key)} = [", ""
        for item, said in zip(items, remarks, strict=True):
            yield f"    {inline(item)},", said
        yield "]", ""
    else:
        yield f"{_key(key)} = {inline(value)}", remarks[0] if remarks else remark(where)


def inline(value: object) -> str:
    """Write a value on one line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, list):
        return f"[{', '.join(map(inline, value))}]"
    if isinstance(value, dict):
        inner = ", ".join(f"{_key(key)} = {inline(one)}" for key, one in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    # A basic string escapes as JSON does (toml.io, v1.0); DEL is the one that JSON leaves alone.
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else inline(key)


def _is_table(value: object) -> bool:
    if isinstance(value, list):
        return bool(value) and all(isinstance(one, dict) for one in value)
    return isinstance(value, dict)
