"""dpkg's database: written for packages that were linked into a tree, as if dpkg had unpacked them.

What it holds is described in dpkg's own doc/ and in deb-triggers(5), deb-conffiles(5) and dpkg(1);
dpkg rewrites `status` in its own order as soon as it configures something.
"""

import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath

from builder.distros.debian.deb822 import fields_of, paragraphs
from builder.distros.debian.package.control import check_identity, names_of
from builder.distros.debian.package.unpack import Expanded
from builder.host.trees.treeio import TREES_FAULT, TreeIO
from builder.model.errors import StageError

# What is read here was written by packages and their scripts, so it may be anything.

ADMIN = "var/lib/dpkg"
_FOLDERS = ("alternatives", "info", "parts", "triggers", "updates")
_EMPTY = ("diversions", "status", "triggers/Unincorp")

_LARGE = 64 << 20
"""The most bytes of a file of the database; that of a whole desktop has six million."""

_TRIGGER = re.compile(r"(?!(?:File|Lock|Unincorp)\Z)[A-Za-z0-9][A-Za-z0-9+._-]{0,199}")
"""A trigger's name, which is a file's; those left out are dpkg's own files there."""


class UnpackedPackage:
    """A package with what dpkg has to know about it."""

    def __init__(self, expanded: Expanded) -> None:
        self.expanded = expanded
        self.text = _text_of(expanded, "control").strip("\n")
        self.fields = fields_of(self.text)
        check_identity(expanded.package, self.text)
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
        lines = _text_of(self.expanded, name).split("\n")
        return [line.strip() for line in lines if line.strip() and not line.startswith("#")]

    def triggers(self) -> Iterable["Trigger"]:
        """Give what the package is interested in."""
        for line in self.control_lines("triggers"):
            words = line.split("#")[0].split()
            if len(words) == 2 and words[0].startswith("interest"):
                if not words[1].startswith("/") and not _TRIGGER.fullmatch(words[1]):
                    raise StageError(
                        f"the package `{self.name}` is interested in {words[1][:200]!r},"
                        " which is no name of a trigger"
                    )
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


def write_database(packages: Sequence[UnpackedPackage], tree: TreeIO) -> None:
    """Write the database of a tree in which all packages are unpacked and none is configured."""
    create_database(tree)
    with judging("a package"), tree.folder(f"{ADMIN}/info") as info:
        for package in packages:
            _link_info(package, info)
    stanzas = "".join(_stanza(package) for package in packages)
    files = {f"info/{one.known_as}.list": _listed(one) for one in packages}
    files |= {"status": stanzas, **_trigger_files(packages)}
    with judging("a package"):
        for name, text in files.items():
            tree.write_bytes(f"{ADMIN}/{name}", _bytes(text))


def create_database(tree: TreeIO) -> None:
    """Make a database that knows no package."""
    with judging("a package"):
        for name in _FOLDERS:
            tree.mkdir(f"{ADMIN}/{name}")
        check_database(tree, "a package", files=())
        for name in _EMPTY:
            tree.write_bytes(f"{ADMIN}/{name}", b"")
        tree.write_bytes(f"{ADMIN}/info/format", b"1\n")


def _stanza(package: UnpackedPackage) -> str:
    name, rest = package.text.split("\n", 1)
    lines = [name, "Status: install ok unpacked", rest]
    if package.conffiles:
        lines += ["Conffiles:", *(f" {path} newconffile" for path in package.conffiles)]
    return "\n".join(lines) + "\n\n"


def _listed(package: UnpackedPackage) -> str:
    return "".join(f"{path}\n" for path in package.paths)


def _link_info(package: UnpackedPackage, info: int) -> None:
    for name in os.listdir(package.expanded.control):
        if name != "control":
            called = f"{package.known_as}.{name}"
            os.link(package.expanded.control / name, called, dst_dir_fd=info)


def _trigger_files(packages: Sequence[UnpackedPackage]) -> dict[str, str]:
    """Say which files of the database hold which text about what packages are interested in."""
    files: dict[str, list[str]] = {"triggers/File": []}
    for trigger in (one for package in packages for one in package.triggers()):
        if trigger.name.startswith("/"):
            files["triggers/File"].append(f"{trigger.name} {trigger.interest}\n")
        else:
            files.setdefault(f"triggers/{trigger.name}", []).append(f"{trigger.interest}\n")
    return {name: "".join(lines) for name, lines in files.items()}


@contextmanager
def judging(culprit: str) -> Iterator[None]:
    """Blame what is wrong with the database on those who can have done it."""
    try:
        yield
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno not in TREES_FAULT:
            raise
        raise StageError(
            f"{culprit} put something else in the place of dpkg's database", output=str(error)
        ) from error


def check_database(
    tree: TreeIO, culprit: str, files: Sequence[str] = ("diversions", "status", "statoverride")
) -> None:
    """See that the database is where it was, before it is read or written from here."""
    admin = PurePosixPath(ADMIN)
    with judging(culprit):
        for folder in (*reversed(admin.parents[:-1]), admin, admin / "info", admin / "triggers"):
            if not stat.S_ISDIR(tree.lstat(str(folder)).st_mode):
                raise ValueError(f"`/{folder}` is no folder")
        for name in files:
            if name == "status" or tree.exists(f"{ADMIN}/{name}"):
                with tree.opened(f"{ADMIN}/{name}"):
                    pass


def _text(tree: TreeIO, name: str) -> str:
    """Read a file of the database, and nothing else that may be there."""
    if not stat.S_ISREG(tree.lstat(f"{ADMIN}/{name}").st_mode):
        raise ValueError(f"`/{ADMIN}/{name}` is no regular file")
    return tree.read_bytes(f"{ADMIN}/{name}", _LARGE).decode("utf-8", "surrogateescape")


def _text_of(expanded: Expanded, name: str) -> str:
    """Read a control file of a package; a missing one says nothing."""
    path = expanded.control / name
    return path.read_bytes().decode("utf-8", "surrogateescape") if path.exists() else ""


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def not_installed(tree: TreeIO) -> list[str]:
    """Name every package that is not `install ok installed`, with its state."""
    return [
        f"{fields.get('package')}: {fields.get('status')}"
        for fields in paragraphs(_text(tree, "status"))
        if fields.get("status") != "install ok installed"
    ]


def diversions(tree: TreeIO) -> list[tuple[str, str, str]]:
    """Give the diversions as (path, where it is diverted to, by which package)."""
    lines = _text(tree, "diversions").splitlines()
    return list(zip(lines[::3], lines[1::3], lines[2::3], strict=True))


def overridden(tree: TreeIO) -> set[str]:
    """Give the paths whose owner and mode the administrator decides (dpkg-statoverride(1))."""
    there = tree.exists(f"{ADMIN}/statoverride")
    lines = _text(tree, "statoverride").splitlines() if there else []
    return {line.split(" ", 3)[3] for line in lines if line.count(" ") > 2}


def essentials(packages: Sequence[UnpackedPackage]) -> list[UnpackedPackage]:
    """Choose the essential packages and all that they depend on."""
    return closure([package for package in packages if package.essential], packages)


def closure(
    seeds: Sequence[UnpackedPackage], packages: Sequence[UnpackedPackage]
) -> list[UnpackedPackage]:
    """Choose out of packages some, and all that they depend on."""
    providers = _providers(packages)
    chosen: dict[str, UnpackedPackage] = {}
    waiting = list(seeds)
    while waiting:
        package = waiting.pop()
        if package.name not in chosen:
            chosen[package.name] = package
            waiting += _first_choices(package.needs(), providers)
    return [package for package in packages if package.name in chosen]


def preinst_order(packages: Sequence[UnpackedPackage]) -> list[UnpackedPackage]:
    """Sort packages so that each comes after those that it pre-depends on.

    base-passwd is the very first: its preinst makes /etc/passwd, without which no other script can
    name a user.
    """
    providers = _providers(packages)
    first = sorted(packages, key=lambda package: (package.name != "base-passwd", package.name))
    done: dict[str, UnpackedPackage] = {}

    def visit(package: UnpackedPackage, above: frozenset[str]) -> None:
        if package.name in done or package.name in above:
            return
        for needed in _first_choices(package.needs(before_preinst=True), providers):
            visit(needed, above | {package.name})
        done[package.name] = package

    for package in first:
        visit(package, frozenset())
    return list(done.values())


def _providers(packages: Sequence[UnpackedPackage]) -> dict[str, UnpackedPackage]:
    providers = {name: package for package in packages for name in package.provides()}
    return providers | {package.name: package for package in packages}


def _first_choices(
    clauses: list[list[str]], providers: dict[str, UnpackedPackage]
) -> list[UnpackedPackage]:
    """Choose for each clause the first alternative that is there."""
    found = (
        next((providers[name] for name in names if name in providers), None) for names in clauses
    )
    return [package for package in found if package is not None]
