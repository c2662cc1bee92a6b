"""What is wrong with a value, in words: msgspec's messages made into errors with a place."""

import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches

import msgspec
from msgspec import inspect

from builder.model.errors import RecipeError, Span
from builder.model.toml.source import Source
from builder.model.toml.spans import Where

_MESSAGE = re.compile(
    r"^(?P<what>.*?)(?: - at (?P<key>`key` in )?`\$(?P<path>[^`]*)`)?$", re.DOTALL
)
_PART = re.compile(r"\.(?P<name>[^.\[]+)|\[(?P<index>\d+)\]|(?P<any>\[\.\.\.\])")
MOST_KEYS = 8
"""So many keys are told of a table that has more of them; the reference page has them all."""

_WORDS = {
    "array": "an array",
    "bool": "a boolean",
    "date": "a date",
    "datetime": "a date",
    "float": "a float",
    "int": "an integer",
    "object": "a table",
    "str": "a string",
    "time": "a time",
}


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """Make the hint that offers the nearest known word; None when none is near."""
    plain = {name.lower().replace("_", "-"): name for name in known}
    nearest = get_close_matches(word.lower().replace("_", "-"), plain, n=1)
    return f"did you mean `{plain[nearest[0]]}`?" if nearest else None


def quoted(value: object) -> str:
    """Show what a person wrote in backquotes, on one line and not too long."""
    plain = "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in str(value)
    )
    return f"`{plain[:60]}…`" if len(plain) > 61 else f"`{plain}`"


def explain(message: str, data: Mapping[str, object], source: Source, kind: type) -> RecipeError:
    """Say in a person's words, and with the place, what msgspec found wrong in `data`."""
    found = _MESSAGE.match(message)
    assert found is not None  # the expression matches every text
    where, about_key = _locate(message, data, kind)
    what = found["what"]
    for pattern, explanation in _EXPLANATIONS:
        if match := re.match(pattern, what, re.DOTALL):
            trouble = _Trouble(source, kind, where, about_key=about_key, value=_value(data, where))
            return explanation(trouble, *match.groups())
    return RecipeError(what[0].lower() + what[1:], at=source.value(*where))


class _Trouble:
    """One mistake: where it stands, and what is known about that place."""

    def __init__(
        self, source: Source, kind: type, where: Where, *, about_key: bool, value: object
    ) -> None:
        self.source = source
        self.root = inspect.type_info(kind)
        self.where = where
        self.about_key = about_key
        self.value = value

    @property
    def place(self) -> Span:
        find = self.source.key if self.about_key else self.source.value
        return find(*self.where)

    @property
    def subject(self) -> str:
        """Name the key that this is about."""
        last = self.where[-1]
        if isinstance(last, int):
            keys = [part for part in self.where if isinstance(part, str)]
            return f"an item of `{keys[-1]}`"
        return quoted(last)

    def known_keys(self) -> dict[str, inspect.Type]:
        return _keys(_type_at(self.root, self.where))

    # -- one explanation for each kind of message

    def unknown_key(self, name: str) -> RecipeError:
        hint = did_you_mean(name, self.known_keys()) or self._home_of(name)
        return RecipeError(
            f"unknown key {quoted(name)}", at=self.source.key(*self.where, name), hint=hint
        )

    def _home_of(self, name: str) -> str:
        """Say in which other table a key is known, else which keys are known here."""
        top = _keys(self.root)
        if name in top and self.where:
            return f"`{name}` stands at the top level, above the first `[table]`"
        for table, kind in top.items():
            if name in _keys(kind) and isinstance(_plain(kind), inspect.StructType):
                return f"`{name}` belongs in `[{table}]`"
        known = list(self.known_keys())
        more = f" and {len(known) - MOST_KEYS} more" if len(known) > MOST_KEYS else ""
        return f"known here: {', '.join(known[:MOST_KEYS])}{more}"

    def missing_key(self, name: str) -> RecipeError:
        kind = _plain(self.known_keys()[name])
        if isinstance(kind, inspect.StructType):
            needed = " and ".join(f"`{key}`" for key in _needed(kind))
            problem, hint = f"the table `[{name}]` is missing", f"add `[{name}]` with {needed}"
        else:
            example = '"…"' if isinstance(kind, inspect.StrType) else "…"
            inside = f" in {self._header()}" if self.where else ""
            problem, hint = f"the key `{name}` is missing{inside}", f"add `{name} = {example}`"
        return RecipeError(problem, at=self.source.key(*self.where), hint=hint)

    def _header(self) -> str:
        """Name the table that this is about as its header does."""
        table = ".".join(part for part in self.where if isinstance(part, str))
        return f"`[[{table}]]`" if isinstance(self.where[-1], int) else f"`[{table}]`"

    def wrong_type(self, expected: str, got: str) -> RecipeError:
        names = [_WORDS.get(name, name) for name in expected.split(" | ") if name != "null"]
        wanted = " or ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
        return RecipeError(
            f"{self.subject} must be {wanted}, not {_WORDS.get(got, got)}",
            at=self.place,
            hint=self._rewriting(names, got),
        )

    def _rewriting(self, wanted: Sequence[str], got: str) -> str | None:
        """Say how to write the value when it is plain what was meant."""
        last, written = self.where[-1], self.source.written(*self.where)
        needed = _needed(_plain(_type_at(self.root, self.where)))
        match wanted, got:
            case ["an array"], "str":
                return f"write `[{written}]`"
            case ["an array"], "object":
                return f"write `[[{last}]]`"
            case ["a table"], "array":
                return f"write `[{last}]`"
            case ["a table"], "str" | "int" | "bool" if len(needed) == 1:
                return f"write `{{ {needed[0]} = {written} }}`"
            case ["a string"], "int":
                return f'write `"{written}"`'
        return None

    def wrong_text(self, pattern: str) -> RecipeError:
        title, description = _meaning(_type_at(self.root, self.where, of_key=self.about_key))
        text = self.where[-1] if self.about_key else self.value
        problem = f"{quoted(text)} " + (f"is not {title}" if title else f"must match {pattern}")
        return RecipeError(problem, at=self.place, hint=description)

    def wrong_choice(self) -> RecipeError:
        kind = _plain(_type_at(self.root, self.where))
        known: Sequence[str] = ()
        if isinstance(kind, inspect.EnumType):
            known = [str(member.value) for member in kind.cls]
        elif isinstance(kind, inspect.LiteralType):
            known = [str(value) for value in kind.values]
        key = next(part for part in reversed(self.where) if isinstance(part, str))
        hint = did_you_mean(str(self.value), known) or f"known: {', '.join(known)}"
        return RecipeError(f"unknown {key} {quoted(self.value)}", at=self.place, hint=hint)

    def out_of_range(self, sign: str, limit: str) -> RecipeError:
        side = {">=": "at least", "<=": "at most"}.get(sign, sign)
        return RecipeError(f"{self.subject} must be {side} {limit}", at=self.place)

    def wrong_length(self, sign: str, limit: str) -> RecipeError:
        side = {">=": "at least", "<=": "at most"}.get(sign, sign)
        items = "item" if limit == "1" else "items"
        return RecipeError(f"{self.subject} must have {side} {limit} {items}", at=self.place)


_EXPLANATIONS = (
    (r"Object contains unknown field `(.*)`$", _Trouble.unknown_key),
    (r"Object missing required field `(.*)`$", _Trouble.missing_key),
    (r"Expected `([^`]*)`, got `([^`]*)`$", _Trouble.wrong_type),
    (r"Expected `str` matching regex (.*)$", _Trouble.wrong_text),
    (r"Invalid enum value", _Trouble.wrong_choice),
    (r"Expected `array` of length (>=|<=|==) (\d+)$", _Trouble.wrong_length),
    (r"Expected `int` (>=|<=) (-?\d+)$", _Trouble.out_of_range),
)


def _locate(message: str, data: Mapping[str, object], kind: type) -> tuple[Where, bool]:
    """Turn msgspec's path into keys and indexes, and tell whether a key itself is wrong.

    msgspec says `[...]` for a key that the author chose; which one it was is found by trying each.
    """
    found = _MESSAGE.match(message)
    assert found is not None  # the expression matches every text
    about_key = found["key"] is not None
    where: Where = ()
    for part in _PART.finditer((found["path"] or "") + ("[...]" if about_key else "")):
        if part["any"]:
            culprit = _culprit(message, data, where, kind)
            if culprit is None:
                return where, False
            where = (*where, culprit)
        else:
            where = (*where, part["name"] or int(part["index"]))
    return where, about_key


def _culprit(message: str, data: object, where: Where, kind: type) -> str | None:
    table = _value(data, where)
    if not isinstance(table, dict):
        return None
    for key, value in table.items():
        try:
            msgspec.convert(_replaced(data, where, {key: value}), kind)
        except msgspec.ValidationError as error:
            if str(error) == message:
                return str(key)
    return None


def _replaced(data: object, where: Where, value: object) -> object:
    """Give a copy of `data` that has `value` at one place."""
    if not where:
        return value
    if isinstance(data, dict):
        return {**data, where[0]: _replaced(data[where[0]], where[1:], value)}
    assert isinstance(data, list)  # a path leads through tables and arrays only
    return [
        _replaced(item, where[1:], value) if index == where[0] else item
        for index, item in enumerate(data)
    ]


def _value(data: object, where: Where) -> object:
    for part in where:
        if isinstance(data, dict):
            data = data.get(part)
        elif isinstance(data, list) and isinstance(part, int):
            data = data[part]
    return data


def _type_at(kind: inspect.Type, where: Where, *, of_key: bool = False) -> inspect.Type:
    """Walk down a type; what is not known on the way ends the walk."""
    for position, part in enumerate(where):
        plain = _plain(kind)
        if isinstance(plain, inspect.StructType):
            kind = _keys(plain).get(str(part), plain)
        elif isinstance(plain, inspect.DictType):
            last = position == len(where) - 1
            kind = plain.key_type if of_key and last else plain.value_type
        elif isinstance(plain, inspect.CollectionType):
            kind = plain.item_type
    return kind


def _keys(kind: inspect.Type) -> dict[str, inspect.Type]:
    plain = _plain(kind)
    if isinstance(plain, inspect.CollectionType):
        plain = _plain(plain.item_type)
    if not isinstance(plain, inspect.StructType):
        return {}
    return {field.encode_name: field.type for field in plain.fields}


def _needed(kind: inspect.Type) -> list[str]:
    """Give the keys that a table must have; where that is none, the one for what it is about."""
    fields = kind.fields if isinstance(kind, inspect.StructType) else ()
    needed = [field.encode_name for field in fields if field.required]
    return needed or [name for field in fields if (name := field.encode_name) == "default"]


def _plain(kind: inspect.Type) -> inspect.Type:
    """Take the wrapping off: what is known about a type, and that it may be left out."""
    if isinstance(kind, inspect.Metadata):
        return _plain(kind.type)
    if isinstance(kind, inspect.UnionType):
        given = [item for item in kind.types if not isinstance(item, inspect.NoneType)]
        return _plain(given[0]) if len(given) == 1 else kind
    return kind


def _meaning(kind: inspect.Type) -> tuple[str | None, str | None]:
    """Give the title and description of a type, as its `Meta` says."""
    if isinstance(kind, inspect.UnionType):
        found = [_meaning(item) for item in kind.types if isinstance(item, inspect.Metadata)]
        return found[0] if found else (None, None)
    if isinstance(kind, inspect.Metadata):
        schema = kind.extra_json_schema or {}
        return schema.get("title"), schema.get("description")
    return None, None
