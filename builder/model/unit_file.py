"""Unit files: what systemd is to do, written so that it reads just the values that were meant.

A value is a plain text, words, or a call. systemd takes `%` for a specifier in each of them,
unquotes words, and looks for variables in a call (systemd.unit(5), systemd.syntax(7),
systemd.service(5)).
"""

import re
from collections.abc import Iterator

import msgspec

from builder.model.errors import HostError

_PLAIN = r"[\w@%+=:,./-]+"
_UNFIT = r"[\n\r\ud800-\udfff]|\\\Z"
"""What ends a line or goes on with the next one, and bytes of a path that are no UTF-8."""


class Words(msgspec.Struct, frozen=True):
    """Words, each of which stays one, whatever is in it."""

    words: tuple[str, ...]


class Call(Words, frozen=True):
    """The words of a command, in which no variables are looked for."""


Value = str | Words
Section = tuple[tuple[str, Value], ...]
"""Keys in order; some may be there several times."""


class UnitFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a unit; a section without keys is left out."""

    note: str = ""
    """Who wrote it, as a comment."""
    unit: Section
    service: Section = ()
    timer: Section = ()
    install: Section = ()

    def text(self) -> str:
        """Write it; HostError for a value that no line of such a file can hold."""
        return (f"# {self.note}\n" if self.note else "") + "\n".join(self._sections())

    def _sections(self) -> Iterator[str]:
        for name in ("unit", "service", "timer", "install"):
            if section := getattr(self, name):
                lines = (f"{key}={_in_file(key, value)}\n" for key, value in section)
                yield f"[{name.title()}]\n{''.join(lines)}"


def properties(section: Section) -> list[str]:
    """Write the keys for `systemd-run --property=`, where no specifiers are looked for."""
    return [f"{key}={_written(value)}" for key, value in section]


def _in_file(key: str, value: Value) -> str:
    text = _written(value).replace("%", "%%")
    if re.search(_UNFIT, text):
        shown = text.encode(errors="backslashreplace").decode()
        raise HostError(
            f"systemd cannot be told of {shown!r} in `{key}=` of a unit",
            hint="have Oven in a folder whose name is UTF-8 without line breaks (OVEN_HOME)",
        )
    return text


def _written(value: Value) -> str:
    if isinstance(value, str):
        return value
    dollar = "$$" if isinstance(value, Call) else "$"
    return " ".join(_quoted(word.replace("$", dollar)) for word in value.words)


def _quoted(word: str) -> str:
    escaped = word.replace("\\", "\\\\").replace('"', '\\"')
    return escaped if re.fullmatch(_PLAIN, escaped, re.ASCII) else f'"{escaped}"'
