"""Control files: what a package says of itself, read from the package file."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from builder.distros.debian.deb822 import fields_of
from builder.distros.debian.package import deb
from builder.model.errors import StageError
from builder.model.lock import Package

_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]{0,199}")
_VERSION = re.compile(r"[A-Za-z0-9.+~:-]{1,199}")
_ARCH = re.compile(r"[a-z0-9][a-z0-9-]{0,99}")
"""Debian Policy 5.6.7, 5.6.12 and 5.6.8, as dpkg holds to them; file names are made of these."""

_NEEDED = ("control", "triggers", "preinst", "postinst", "config")
"""The control files that say what installing does; others may be large."""


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


def read_control(path: Path, package: Package) -> Control:
    """Read the control files of a package; raises StageError for a file that is not its own."""
    try:
        found = deb.control_files(path)
    except deb.DebError as error:
        problem = f"the package file of `{package.name}` cannot be read"
        raise StageError(problem, output=f"{path}: {error}") from error
    control = Control(
        {one.name: one.data.decode(errors="replace") for one in found if one.name in _NEEDED}
    )
    check_identity(package, control.files["control"])
    return control


def check_identity(package: Package, text: str) -> None:
    """Raise StageError unless a package's own control file says that it is what was locked."""
    fields = fields_of(text)
    said = tuple(fields.get(name, "") for name in ("package", "version", "architecture"))
    locked = (package.name, package.version, package.arch)
    if said != locked:
        raise StageError(
            f"the package file of {_described(*locked)} says that it is {_described(*said)}",
            hint="the archive is broken or forged: the file is not what its index says",
        )
    for pattern, one in zip((_NAME, _VERSION, _ARCH), said, strict=True):
        if not pattern.fullmatch(one):
            raise StageError(
                f"{one[:200]!r} of {_described(*locked)} is not as Debian Policy 5.6 has it",
                hint="the archive is broken or forged",
            )
    if "\n\n" in text.strip("\n"):
        raise StageError(f"the control file of {_described(*locked)} describes several packages")


def _described(name: str, version: str, arch: str) -> str:
    return f"`{name[:200]}` {version[:200]} ({arch[:100]})"


def names_of(clause: str) -> list[str]:
    """Give the package names in `a (>= 1) | b:any`."""
    found = (re.match(r"\s*([a-z0-9][a-z0-9+.-]*)", part) for part in clause.split("|"))
    return [match[1] for match in found if match]
