"""Control files: what a package says of itself, read from the package file."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from builder.distros.debian import deb
from builder.model.errors import StageError


@dataclass(frozen=True, slots=True)
class Control:
    """A package's control files, as far as they say what installing it does."""

    files: Mapping[str, str]
    """By name, as text."""

    @property
    def fields(self) -> dict[str, str]:
        """The fields of `control`, with their names in lower case."""
        return fields_of(self.files.get("control", ""))

    def names(self, *fields: str) -> set[str]:
        """Name every package that the fields mention, alternatives included."""
        found = self.fields
        clauses = [part for field in fields for part in found.get(field, "").split(",")]
        return {name for clause in clauses for name in names_of(clause)}

    def triggers(self) -> list[tuple[str, str]]:
        """Give the directives of `triggers` with their arguments (deb-triggers(5))."""
        lines = (line.split("#")[0].split() for line in self.files.get("triggers", "").splitlines())
        return [(words[0], words[1]) for words in lines if len(words) == 2]


def read_control(path: Path, name: str) -> Control:
    """Read the control files of the package `name`; raises StageError for a file that is none."""
    try:
        found = deb.control_files(path)
    except deb.DebError as error:
        problem = f"the package file of `{name}` cannot be read"
        raise StageError(problem, output=f"{path}: {error}") from error
    return Control({one.name: one.data.decode(errors="replace") for one in found})


def fields_of(text: str) -> dict[str, str]:
    """Read a control stanza; names are the same in any case (deb-control(5))."""
    fields: dict[str, str] = {}
    name = ""
    for line in text.splitlines():
        if line[:1].isspace():
            fields[name] = fields.get(name, "") + "\n" + line
        else:
            name, _, value = line.partition(":")
            name = name.lower()
            fields[name] = value.strip()
    return fields


def names_of(clause: str) -> list[str]:
    """Give the package names in `a (>= 1) | b:any`."""
    found = (re.match(r"\s*([a-z0-9][a-z0-9+.-]*)", part) for part in clause.split("|"))
    return [match[1] for match in found if match]
