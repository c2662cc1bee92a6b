"""dpkg's database: written for packages that were linked into a tree, as if dpkg had unpacked them.

What it holds is described in dpkg's own doc/ and in deb-triggers(5), deb-conffiles(5) and dpkg(1);
dpkg rewrites `status` in its own order as soon as it configures something.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from builder.distros.debian.control import fields_of, names_of
from builder.distros.debian.unpack import Expanded

ADMIN = "var/lib/dpkg"
_FOLDERS = ("alternatives", "info", "parts", "triggers", "updates")
_EMPTY = ("diversions", "status", "triggers/Unincorp")


class Unpacked:
    """A package with what dpkg has to know about it."""

    def __init__(self, expanded: Expanded) -> None:
        self.expanded = expanded
        self.text = (expanded.control / "control").read_text(encoding="utf-8").strip("\n")
        self.fields = fields_of(self.text)
        self.paths = expanded.paths()

    @property
    def name(self) -> str:
        """The package's name."""
        return self.fields["package"]

    @property
    def arch(self) -> str:
        """Its own architecture, or `all`."""
        return self.fields["architecture"]

    @property
    def known_as(self) -> str:
        """What the database calls it; several architectures of one package may be installed."""
        same = self.fields.get("multi-arch") == "same"
        return f"{self.name}:{self.arch}" if same else self.name

    @property
    def essential(self) -> bool:
        """Whether every other package may take it for granted."""
        return self.fields.get("essential") == "yes"

    @cached_property
    def conffiles(self) -> tuple[str, ...]:
        """The paths that belong to the administrator once they are there."""
        lines = self.control_lines("conffiles")
        return tuple(line for line in lines if line.startswith("/"))

    def control_lines(self, name: str) -> list[str]:
        """Give the lines of a control file that say something; none when it is missing."""
        path = self.expanded.control / name
        if not path.exists():
            return []
        lines = path.read_text(encoding="utf-8").splitlines()
        return [line.strip() for line in lines if line.strip() and not line.startswith("#")]

    def triggers(self) -> Iterable["Trigger"]:
        """Give what the package is interested in."""
        for line in self.control_lines("triggers"):
            words = line.split("#")[0].split()
            if len(words) == 2 and words[0].startswith("interest"):
                yield Trigger(words[1], self.known_as, noawait=words[0] == "interest-noawait")

    def needs(self, *, before_preinst: bool = False) -> list[list[str]]:
        """Give the names that it depends on, each with its alternatives."""
        kinds = ("pre-depends",) if before_preinst else ("pre-depends", "depends")
        clauses = [part for kind in kinds for part in self.fields.get(kind, "").split(",")]
        return [names_of(clause) for clause in clauses if clause.strip()]

    def provides(self) -> list[str]:
        """Give its own name and those that it stands in for."""
        names = (names_of(part) for part in self.fields.get("provides", "").split(","))
        return [self.name, *(name for found in names for name in found)]


@dataclass(frozen=True, slots=True)
class Trigger:
    """A package's interest in a path or a name (deb-triggers(5))."""

    name: str
    package: str
    noawait: bool

    @property
    def interest(self) -> str:
        """The package as trigger files write it."""
        return self.package + ("/noawait" if self.noawait else "")


def write_database(packages: Sequence[Unpacked], root: Path) -> None:
    """Write the database of a tree in which all packages are unpacked and none is configured."""
    create_database(root)
    admin = root / ADMIN
    for package in packages:
        _write_info(package, admin / "info")
    stanzas = (_stanza(package) for package in packages)
    (admin / "status").write_text("".join(stanzas), encoding="utf-8")
    _write_triggers(packages, admin / "triggers")


def create_database(root: Path) -> None:
    """Make a database that knows no package."""
    admin = root / ADMIN
    for name in _FOLDERS:
        (admin / name).mkdir(parents=True, exist_ok=True)
    for name in _EMPTY:
        (admin / name).touch()
    (admin / "info/format").write_text("1\n")


def _stanza(package: Unpacked) -> str:
    name, rest = package.text.split("\n", 1)
    lines = [name, "Status: install ok unpacked", rest]
    if package.conffiles:
        lines += ["Conffiles:", *(f" {path} newconffile" for path in package.conffiles)]
    return "\n".join(lines) + "\n\n"


def _write_info(package: Unpacked, info: Path) -> None:
    listed = "".join(f"{path}\n" for path in package.paths)
    list_file = info / f"{package.known_as}.list"
    list_file.write_text(listed, encoding="utf-8", errors="surrogateescape")
    for name in os.listdir(package.expanded.control):
        if name != "control":
            os.link(package.expanded.control / name, info / f"{package.known_as}.{name}")


def _write_triggers(packages: Sequence[Unpacked], folder: Path) -> None:
    files: list[str] = []
    named: dict[str, str] = {}
    for trigger in (one for package in packages for one in package.triggers()):
        if trigger.name.startswith("/"):
            files.append(f"{trigger.name} {trigger.interest}\n")
        else:
            named[trigger.name] = named.get(trigger.name, "") + f"{trigger.interest}\n"
    (folder / "File").write_text("".join(files))
    for name, text in named.items():
        (folder / name).write_text(text)


def not_installed(root: Path) -> list[str]:
    """Name every package that is not `install ok installed`, with its state."""
    text = (root / ADMIN / "status").read_text(encoding="utf-8")
    stanzas = [fields_of(part) for part in text.split("\n\n") if part.strip()]
    return [
        f"{fields['package']}: {fields['status']}"
        for fields in stanzas
        if fields["status"] != "install ok installed"
    ]


def diversions(root: Path) -> list[tuple[str, str, str]]:
    """Give the diversions as (path, where it is diverted to, by which package)."""
    lines = (root / ADMIN / "diversions").read_text(encoding="utf-8").splitlines()
    return list(zip(lines[::3], lines[1::3], lines[2::3], strict=True))


def overridden(root: Path) -> set[str]:
    """Give the paths whose owner and mode the administrator decides (dpkg-statoverride(1))."""
    path = root / ADMIN / "statoverride"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return {line.split(" ", 3)[3] for line in lines if line.count(" ") > 2}


def essentials(packages: Sequence[Unpacked]) -> list[Unpacked]:
    """Choose the essential packages and all that they depend on."""
    return closure([package for package in packages if package.essential], packages)


def closure(seeds: Sequence[Unpacked], packages: Sequence[Unpacked]) -> list[Unpacked]:
    """Choose out of packages some, and all that they depend on."""
    providers = _providers(packages)
    chosen: dict[str, Unpacked] = {}
    waiting = list(seeds)
    while waiting:
        package = waiting.pop()
        if package.name not in chosen:
            chosen[package.name] = package
            waiting += _first_choices(package.needs(), providers)
    return [package for package in packages if package.name in chosen]


def preinst_order(packages: Sequence[Unpacked]) -> list[Unpacked]:
    """Sort packages so that each comes after those that it pre-depends on.

    base-passwd is the very first: its preinst makes /etc/passwd, without which no other script can
    name a user.
    """
    providers = _providers(packages)
    first = sorted(packages, key=lambda package: (package.name != "base-passwd", package.name))
    done: dict[str, Unpacked] = {}

    def visit(package: Unpacked, above: frozenset[str]) -> None:
        if package.name in done or package.name in above:
            return
        for needed in _first_choices(package.needs(before_preinst=True), providers):
            visit(needed, above | {package.name})
        done[package.name] = package

    for package in first:
        visit(package, frozenset())
    return list(done.values())


def _providers(packages: Sequence[Unpacked]) -> dict[str, Unpacked]:
    providers = {name: package for package in packages for name in package.provides()}
    return providers | {package.name: package for package in packages}


def _first_choices(clauses: list[list[str]], providers: dict[str, Unpacked]) -> list[Unpacked]:
    """Choose for each clause the first alternative that is there."""
    found = (
        next((providers[name] for name in names if name in providers), None) for names in clauses
    )
    return [package for package in found if package is not None]
