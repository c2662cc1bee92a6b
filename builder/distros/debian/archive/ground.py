"""Ground: what a tarball has installed already, as its own dpkg and apt tell."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from builder.distros import GroundError
from builder.distros.debian.deb822 import paragraphs
from builder.distros.debian.family import Family
from builder.distros.debian.packages import MARKS, STATUS
from builder.host.trees.treeio import TREES_FAULT, TreeIO
from builder.model.lock import Asked

# A stranger wrote these tables, and apt is to read them. So it gets them anew: the fields that it
# needs to choose, each on one line, and nothing that could not stand there.

FIELDS = (
    "Package", "Status", "Architecture", "Version", "Essential", "Multi-Arch", "Installed-Size",
    "Provides", "Pre-Depends", "Depends", "Recommends", "Conflicts", "Breaks", "Replaces",
)  # fmt: skip
"""Apt also compares some of them to tell whether an archive has the very same package."""

_PLAIN = re.compile(r"[ -~]*")
_NAME, _ARCH = re.compile(r"[a-z0-9][a-z0-9+.-]+"), re.compile(r"[a-z0-9-]+")
_VERSION = re.compile(r"[A-Za-z0-9.+~:-]+")
_WORD = re.compile(r"[a-z0-9._-]{1,40}")
_LIMIT = 64 << 20
_PROGRAMS = ("usr/bin/apt-get", "usr/bin/dpkg")
_INSTALLED = {"installed", "triggers-pending", "triggers-awaited"}
_NOT_THERE = {"not-installed", "config-files"}


@dataclass(frozen=True, slots=True)
class There:
    """A package that is there when a layer comes."""

    arch: str
    stanza: bytes
    """How apt is told of it."""
    counts: bool
    """Whether somebody has asked for it."""


Ground = Mapping[tuple[str, str], There]
"""By name and foreign architecture."""


def read_ground(root: Path, family: Family, asked: Asked) -> Ground:
    """Read the tables of a tree; raises GroundError where nothing can be installed on it."""
    try:
        with TreeIO(root) as tree:
            _check_release(tree, family, asked)
            for path in (STATUS, *_PROGRAMS):
                if not tree.is_file(path):
                    raise _unfit(f"has no `/{path}`, so nothing can be installed on it")
            automatic = set(_automatic(tree))
            found: dict[tuple[str, str], There] = {}
            for fields in paragraphs(_text(tree, STATUS)):
                if (one := _read(fields, asked)) is not None:
                    name, arch, stanza = one
                    foreign = arch if arch in asked.foreign else ""
                    counts = (name, asked.arch if arch == "all" else arch) not in automatic
                    found[name, foreign] = There(arch, stanza, counts)
    except OSError as error:
        if error.errno not in TREES_FAULT:
            raise
        raise _unfit(f"has tables of packages that cannot be read: {error}") from error
    if not found:
        raise _unfit("tells of no package that is there")
    return found


def _check_release(tree: TreeIO, family: Family, asked: Asked) -> None:
    """See that a tree is of the distribution that the recipe says, as far as it tells."""
    told: dict[str, str] = {}
    for path in ("etc/os-release", "usr/lib/os-release"):
        if not told and tree.is_file(path):
            rows = (line.partition("=") for line in _text(tree, path).splitlines())
            told = {key: value.strip().strip("\"'") for key, _, value in rows}
    name, suite = (told.get(key, "") for key in ("ID", "VERSION_CODENAME"))
    if _WORD.fullmatch(name) and name != family.name:
        raise GroundError(
            f"the tarball says that it is `{name}`, not {family.title}",
            ("base", "distro"),
            hint="its packages come from elsewhere; name what it is, if Oven knows it",
        )
    # What moves has the name of what it will become, or none.
    moving = {asked.suite, suite} & family.moving
    if _WORD.fullmatch(suite) and suite != asked.suite and not moving:
        raise GroundError(
            f"the tarball says that it is `{suite}`, not `{asked.suite}`",
            ("base", "suite"),
            hint=f'write `suite = "{suite}"`',
        )


def _read(fields: dict[str, str], asked: Asked) -> tuple[str, str, bytes] | None:
    """Give the name, the architecture and the description of a package that is there."""
    status = fields.get("status", "").split()
    if len(status) != 3 or status[2] in _NOT_THERE:
        return None
    name, arch = fields.get("package", ""), fields.get("architecture", "")
    version = fields.get("version", "")
    known = (_NAME.fullmatch(name), _ARCH.fullmatch(arch), _VERSION.fullmatch(version))
    plain = {key: " ".join(fields[key.lower()].split()) for key in FIELDS if key.lower() in fields}
    if not all(known) or not all(map(_PLAIN.fullmatch, plain.values())):
        raise _unfit(f"has a table of packages with what is none: {name[:60]!r}")
    if status[1:] not in [["ok", one] for one in _INSTALLED]:
        raise _unfit(f"has `{name}` half installed", hint="it must be configured first")
    if arch not in (asked.arch, "all", *asked.foreign):
        raise _unfit(
            f"has packages for `{arch}`, which the recipe does not speak of",
            hint=f'name one of them in `[packages]`: `install = ["{name}:{arch}"]`',
        )
    plain["Status"] = f"{'hold' if status[0] == 'hold' else 'install'} ok installed"
    lines = (f"{key}: {plain[key]}" for key in FIELDS if plain.get(key))
    return name, arch, "\n".join(lines).encode()


def _automatic(tree: TreeIO) -> Iterator[tuple[str, str]]:
    """Name what only others need, by name and architecture."""
    if tree.is_file(MARKS):
        for fields in paragraphs(_text(tree, MARKS)):
            if fields.get("auto-installed") == "1":
                yield fields.get("package", ""), fields.get("architecture", "")


def _text(tree: TreeIO, path: str) -> str:
    return tree.read_bytes(path, _LIMIT).decode(errors="replace")


def _unfit(problem: str, *, hint: str | None = None) -> GroundError:
    return GroundError(f"the tarball {problem}", ("tarball",), hint=hint)
