"""Where each key and value of a TOML text stands, which the standard library's parser forgets."""

import contextlib
import re
import tomllib
from dataclasses import dataclass, field

Where = tuple[str | int, ...]
"""Keys and indexes from the top: `("user", 0, "name")`."""

Extent = tuple[int, int]
"""Offsets into the text: the first character, and the one after the last."""

_BLANK = re.compile(r"(?:[ \t\n]+|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
# TOML 1.0: up to two quotes may stand directly before the closing three.
_STRINGS = (
    re.compile(r'"""(?:[^\\]|\\.)*?"""(?:"{0,2})', re.DOTALL),
    re.compile(r"'''.*?'''(?:'{0,2})", re.DOTALL),
    re.compile(r'"(?:[^"\\\n]|\\.)*"'),
    re.compile(r"'[^'\n]*'"),
)
_SCALAR = re.compile(r"[^,\]}\n#]+")


@dataclass(frozen=True, slots=True)
class Spans:
    """The extents found in one text; a table's value is the name in its header."""

    keys: dict[Where, Extent] = field(default_factory=dict)
    values: dict[Where, Extent] = field(default_factory=dict)

    def key(self, where: Where) -> Extent | None:
        """Give the place of a key, or of the nearest thing around it."""
        return _nearest(where, self.keys, self.values)

    def value(self, where: Where) -> Extent | None:
        """Give the place of a value, or of the nearest thing around it."""
        return _nearest(where, self.values, self.keys)


def _nearest(where: Where, *tables: dict[Where, Extent]) -> Extent | None:
    for end in range(len(where), 0, -1):
        for table in tables:
            if where[:end] in table:
                return table[where[:end]]
    return None


def find_spans(text: str) -> Spans:
    r"""Find the extents in a text that `tomllib` accepts; its lines end in `\n` alone."""
    scanner = _Scanner(text)
    # Only on a text that tomllib refuses; what was found up to there is still right.
    with contextlib.suppress(IndexError, KeyError, RecursionError):
        scanner.document()
    return scanner.found


class _Scanner:
    """Walks over a valid text once; it checks nothing."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.found = Spans()
        self.counts: dict[Where, int] = {}

    def document(self) -> None:
        table: Where = ()
        self.skip(_BLANK)
        while self.at < len(self.text):
            if self.text[self.at] == "[":
                table = self.header()
            else:
                self.pair(table)
            self.skip(_BLANK)

    def skip(self, pattern: re.Pattern[str]) -> None:
        self.at = _match(pattern, self.text, self.at)

    def header(self) -> Where:
        """Read `[a.b]` or `[[a.b]]`; give the table that it opens."""
        brackets = 2 if self.text.startswith("[[", self.at) else 1
        self.at += brackets
        parts = self.key()
        self.skip(_SPACE)
        self.at += brackets
        where: Where = ()
        for position, (name, extent) in enumerate(parts):
            where = (*where, name)
            last = position == len(parts) - 1
            self.note_key(where, extent, again=last)
            self.found.values.setdefault(where, extent)
            if last and brackets == 2:
                self.counts[where] = self.counts.get(where, -1) + 1
            if where in self.counts:
                where = (*where, self.counts[where])
                self.found.keys.setdefault(where, extent)
                self.found.values.setdefault(where, extent)
        return where

    def note_key(self, where: Where, extent: Extent, *, again: bool) -> None:
        """Keep the first mention of a key, unless this one is the table's own header."""
        if again and where not in self.counts:
            self.found.keys[where] = extent
            self.found.values[where] = extent
        else:
            self.found.keys.setdefault(where, extent)

    def pair(self, table: Where) -> None:
        """Read `key = value`."""
        where = table
        for name, extent in self.key():
            where = (*where, name)
            self.found.keys.setdefault(where, extent)
            self.found.values.setdefault(where, extent)
        self.skip(_SPACE)
        self.at += 1
        self.skip(_SPACE)
        self.value(where)

    def key(self) -> list[tuple[str, Extent]]:
        """Read a dotted key into its parts."""
        parts = []
        while True:
            self.skip(_SPACE)
            start = self.at
            if self.text[start] in "\"'":
                self.at = _string_end(self.text, start)
                # The parser itself says what the quotes and escapes mean.
                name = str(tomllib.loads(f"key = {self.text[start : self.at]}")["key"])
            else:
                self.at = _match(_BARE, self.text, start)
                name = self.text[start : self.at]
            parts.append((name, (start, self.at)))
            self.skip(_SPACE)
            if not self.text.startswith(".", self.at):
                return parts
            self.at += 1

    def value(self, where: Where) -> None:
        start = self.at
        first = self.text[start]
        if first == "[":
            self.array(where)
        elif first == "{":
            self.inline_table(where)
        elif first in "\"'":
            self.at = _string_end(self.text, start)
        else:
            scalar = self.text[start : _match(_SCALAR, self.text, start)]
            self.at = start + len(scalar.rstrip())
        self.found.values[where] = (start, self.at)

    def array(self, where: Where) -> None:
        self.at += 1
        index = 0
        self.skip(_BLANK)
        while self.text[self.at] != "]":
            self.value((*where, index))
            index += 1
            self.separator()
        self.at += 1

    def inline_table(self, where: Where) -> None:
        self.at += 1
        self.skip(_BLANK)
        while self.text[self.at] != "}":
            self.pair(where)
            self.separator()
        self.at += 1

    def separator(self) -> None:
        self.skip(_BLANK)
        if self.text[self.at] == ",":
            self.at += 1
            self.skip(_BLANK)


def _match(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)
    if found is None:
        raise IndexError(at)
    return found.end()


def _string_end(text: str, at: int) -> int:
    for pattern in _STRINGS:
        if found := pattern.match(text, at):
            return found.end()
    raise IndexError(at)
