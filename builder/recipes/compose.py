"""Composing: one recipe out of several pieces, each value with the place that it came from."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from builder.model.errors import RecipeError, Span
from builder.model.toml.source import Source
from builder.model.toml.spans import Where

# The rules, as the documentation has them: tables are joined key by key; of two values, that of the
# higher piece counts; lists are joined, and what is there already is not added again; tables of a
# list that are about the same thing are joined. Pieces of the same rank that contradict each other
# are an error, unless a higher one decides.

Table = dict[str, object]

IDENTITY: Mapping[str, tuple[str, ...]] = {
    "group": ("name",),
    "user": ("name",),
    "port": ("port", "protocol"),
    "script": ("path",),
    "fetch": ("path",),
    "file": ("path",),
    "secret": ("name",),
    "repository": ("name",),
    "first-boot": ("name",),
    "allow": ("path",),
    "health": ("name",),
    "volume": ("name",),
}
"""For each list of tables the keys that say what a table is about."""


@dataclass(frozen=True)
class Piece:
    """A part of a recipe: the values and where they stand."""

    data: Table
    source: Source
    rank: int
    """Higher ones count."""
    below: Where = ()
    """Where in the source the values stand."""


@dataclass(frozen=True)
class Composite(Source):
    """The source of a recipe that was composed: finds each value in the file that said it."""

    origins: Mapping[Where, tuple[Source, Where]] = field(default_factory=dict)

    def key(self, *where: str | int) -> Span:
        """Give the place of a key, or of the nearest table around it."""
        source, place = self.origin(where)
        return source.key(*place) if source is not self else super().key(*place)

    def value(self, *where: str | int) -> Span:
        """Give the place of a value, or of the nearest table around it."""
        source, place = self.origin(where)
        return source.value(*place) if source is not self else super().value(*place)

    def written(self, *where: str | int) -> str:
        """Give a value as it is written."""
        source, place = self.origin(where)
        return source.written(*place) if source is not self else super().written(*place)

    def origin(self, where: Where) -> tuple[Source, Where]:
        """Give the file that a value came from, and its place there."""
        for length in range(len(where), 0, -1):
            if (found := self.origins.get(where[:length])) is not None:
                source, place = found
                return source, (*place, *where[length:])
        return self, where


def compose(pieces: Sequence[Piece], main: Source) -> tuple[Table, Composite]:
    """Join pieces, the lowest first; `main` is the file that a person named."""
    work = _Work()
    for piece in pieces:
        work.lay(work.data, piece.data, (), _At(piece.source, piece.below, piece.rank))
    for where, (one, other) in work.conflicts.items():
        first, second = one.source.value(*one.place), other.source.value(*other.place)
        raise RecipeError(
            f"`{'.'.join(map(str, where))}` is said in two ways",
            at=second,
            hint=f"`{first.path}`, line {first.line}, says {one.source.written(*one.place)};"
            f" decide it in `{main.path}`",
        )
    origins = {where: (at.source, at.place) for where, at in work.origins.items()}
    return work.data, Composite(main.path, main.text, origins)


@dataclass(frozen=True)
class _At:
    source: Source
    place: Where
    rank: int

    def down(self, key: str | int) -> "_At":
        return _At(self.source, (*self.place, key), self.rank)


class _Work:
    """What is composed so far."""

    def __init__(self) -> None:
        self.data: Table = {}
        self.origins: dict[Where, _At] = {}
        self.conflicts: dict[Where, tuple[_At, _At]] = {}

    def lay(self, target: Table, more: Table, where: Where, at: _At) -> None:
        """Lay a table over what is there."""
        for key, value in more.items():
            self._lay_value(target, key, value, (*where, key), at.down(key))

    def _lay_value(self, target: Table, key: str, value: object, where: Where, at: _At) -> None:
        there = target.get(key)
        if key not in target:
            target[key] = [] if isinstance(value, list) else {} if isinstance(value, dict) else None
            self.origins[where] = at
            there = target[key]
        if isinstance(value, dict) and isinstance(there, dict):
            self.lay(cast("Table", there), value, where, at)
        elif isinstance(value, list) and isinstance(there, list):
            self._append(there, value, where, at)
        elif target[key] is None:
            target[key] = copy.deepcopy(value)
        elif there != value:
            self._decide(target, key, value, where, at)

    def _decide(self, target: Table, key: str, value: object, where: Where, at: _At) -> None:
        before = self.origins.get(where, at)
        if at.rank == before.rank:
            self.conflicts.setdefault(where, (before, at))
            return
        self.conflicts.pop(where, None)
        for inner in [one for one in self.origins if one[: len(where)] == where]:
            del self.origins[inner]
        target[key] = copy.deepcopy(value)
        self.origins[where] = at

    def _append(self, there: list[object], more: list[object], where: Where, at: _At) -> None:
        keys = IDENTITY.get(str(where[0])) if len(where) == 1 else None
        before = list(there)
        known = {_about(one, keys): index for index, one in enumerate(before)} if keys else {}
        for index, one in enumerate(more):
            same = known.get(_about(one, keys)) if keys and isinstance(one, dict) else None
            if same is not None:
                self.lay(
                    cast("Table", there[same]), cast("Table", one), (*where, same), at.down(index)
                )
            elif isinstance(one, dict) or one not in before:
                # What a piece itself says twice is left for the rules to complain about.
                self.origins[(*where, len(there))] = at.down(index)
                there.append(copy.deepcopy(one))


def _about(table: object, keys: tuple[str, ...]) -> tuple[str, ...]:
    if not isinstance(table, dict):
        return ()
    return tuple(str(table.get(key, "tcp" if key == "protocol" else None)) for key in keys)
