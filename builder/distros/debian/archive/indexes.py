"""Indexes: what the verified files of an archive say about packages, found by name."""

import contextlib
import copy
import mmap
import re
from array import array
from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

import msgspec

from builder.distros.debian.archive.pockets import Pocket
from builder.host.trees.durable import replace
from builder.model.errors import UpstreamError
from builder.model.lock import Package, described
from builder.model.value import Value

RELATION = re.compile(rb"^(?:Pre-Depends|Depends): *(.*)$", re.MULTILINE)
WIDE_RELATION = re.compile(rb"^(?:Pre-Depends|Depends|Recommends): *(.*)$", re.MULTILINE)
STANZA = re.compile(rb"\n\nPackage: *(\S+)")
"""Where a stanza begins: with its name, in every index (DebianRepository/Format)."""
SEEDS = (b"\nEssential: yes\n", b"\nPriority: required\n")
PROVIDES = re.compile(rb"\nProvides: *(.*)")
NAME = re.compile(rb"(?:^|[,|]) *([a-z0-9][a-z0-9+.-]+)")
"""A package's name where it begins an alternative (Debian Policy 7.1)."""
NORMAL = 500
"""The priority of an archive of which nothing is said (apt_preferences(5))."""
RAISED = 990
"""That of what a recipe takes from a pocket that counts less."""
_DIGITS = 18
"""Of a size; more of them are no number of bytes."""


class Contents(Value, frozen=True):
    """Where everything is in the files of an index, to be found again without reading them."""

    files: tuple[tuple[str, int, int], ...]
    """Which files: name, size, and time of change in ns."""
    starts: list[bytes]
    """For each file where its stanzas begin, in bytes, and where it ends: an `array("Q")`."""
    first: dict[str, int]
    """For each name the number of its first stanza, counted through all files."""
    more: dict[str, list[int]]
    """For names that have several the others."""
    providers: dict[str, str]
    """For each name the packages that provide it."""
    seeds: list[str]
    """The packages of `Index.seeds`."""


@dataclass(frozen=True, slots=True)
class View:
    """How the archives of an index are looked at."""

    arch: str = ""
    """Which packages count, beside those for all architectures."""
    foreign: tuple[str, ...] = ()
    """Those of which architectures count besides."""
    weights: Mapping[str, int] = field(default_factory=dict)
    """The priorities of repositories."""
    hidden: frozenset[str] = frozenset()
    """Repositories of which nothing is seen, and pockets."""

    @property
    def arches(self) -> frozenset[bytes]:
        """Say what may be the architecture of a package that counts."""
        return frozenset(one.encode() for one in ("all", self.arch, *self.foreign))


class Source(NamedTuple):
    """Where a file of an index comes from."""

    called: str
    """What weights and views call it."""
    archive: str
    suite: str


class Index:
    """All packages of some pockets, by name; a package is kept as the text that describes it."""

    def __init__(self, pockets: Iterable[Pocket], *, notes: Path | None = None) -> None:
        """Open the files; `notes` is where to note what is in them, for the next time."""
        found = tuple(pockets)
        files = [
            (Source(pocket.called, pocket.archive, pocket.suite), path)
            for pocket in found
            for path in pocket.packages
        ]
        own = sum(len(pocket.packages) for pocket in found if not pocket.added)
        self._sources = [source for source, _ in files]
        self.view = View()
        self._data = [_mapped(path) for _, path in files]
        known = tuple(_identity(path) for _, path in files)
        contents = _read_notes(notes) if notes else None
        if contents is None or contents.files != known:
            contents = _survey(self._data, known, own)
            if notes:
                replace(notes, msgspec.msgpack.encode(contents))
        self._contents = contents
        self._starts = [array("Q", one) for one in contents.starts]
        self._before = list(accumulate((len(one) - 1 for one in self._starts), initial=0))

    def seen(self, view: View) -> "Index":
        """Give the same index as it is seen with some archives."""
        other = copy.copy(self)
        other.view = view
        return other

    def seeds(self) -> tuple[str, ...]:
        """Name the packages that every system of this suite has: essential and required ones.

        The suite's own pocket, read first, decides: updates do not change what is required.
        """
        return tuple(self._contents.seeds)

    def names(self) -> Iterator[str]:
        """Give the names of all packages."""
        return iter(self._contents.first)

    def has(self, name: str) -> bool:
        """Tell whether a name can be installed: as a package or as what another one provides."""
        return any(True for _ in self._of(name)) or bool(self.providers(name))

    def of(self, name: str, arch: str = "") -> Iterator[tuple[Source, bytes]]:
        """Give the packages of a name, those of the most important source first."""
        side = self._side(arch)
        return (one for one in self._of(name) if self._side_of(one[1]) == side)

    def suites(self) -> tuple[str, ...]:
        """Name the suites and pockets that are seen."""
        seen = (one for one in self._sources if one.called not in self.view.hidden)
        return tuple(dict.fromkeys(one.suite for one in seen))

    def providers(self, name: str) -> tuple[str, ...]:
        """Name the packages that stand in for a name."""
        known = self._contents.providers.get(name, "").split()
        return tuple(one for one in known if any(True for _ in self._of(one)))

    def task(self, task: str) -> tuple[str, ...]:
        """Name the packages of a task, as an archive that has tasks tells them."""
        mark = re.compile(rb"\nTask:(?:[^\n]*,)? *" + re.escape(task.encode()) + rb" *(?=[,\n]|\Z)")
        found: dict[str, None] = {}
        for data, starts in zip(self._data, self._starts, strict=True):
            for match in mark.finditer(data):
                start = starts[bisect_right(starts, match.start()) - 1]
                found[field_of(data[start : match.start()].strip(), "Package")] = None
        return tuple(name for name in found if any(True for _ in self._of(name)))

    def mentions(self, names: Iterable[str], text: bytes) -> bool:
        """Tell whether the description of one of these packages has `text` in it."""
        return any(text in stanza for name in names for _, stanza in self._of(name))

    def offers(self, package: Package) -> bool:
        """Tell whether a locked package is still there, as the very same file."""
        mark = package.sha256.encode()
        return any(_field(stanza, b"SHA256") == mark for _, stanza in self._of(package.name))

    def reachable(
        self,
        names: Iterable[str],
        *,
        recommends: bool,
        there: Iterable[str] = (),
        versions: Mapping[str, Collection[str]] | None = None,
    ) -> bytes:
        """Describe all packages that could be chosen so that `names` are installed.

        That is a few thousand of the sixty thousand in a suite, and a solver is as much quicker.
        What the packages that are `there` need is there as well. A package in `versions` is
        described only in those, which must exist.
        """
        relation = WIDE_RELATION if recommends else RELATION
        fixed, leaves = versions or {}, frozenset(there)
        seen = set(names)
        waiting = list(seen)
        found: dict[str, list[bytes]] = {}
        while waiting:
            name = waiting.pop()
            near = set(self._contents.providers.get(name, "").split())
            found[name] = self._unlike(name, fixed.get(name))
            if name not in leaves:
                for stanza in found[name]:
                    near.update(_names_in(relation, stanza))
            waiting += near - seen
            seen |= near
        # In the index's order: between equals, a solver takes what comes first.
        order = sorted(found, key=lambda name: self._contents.first.get(name, 0))
        return b"".join(stanza + b"\n\n" for name in order for stanza in found[name])

    def pins(self, names: Iterable[str], raised: Mapping[str, str] | None = None) -> str:
        """Say how much the versions of packages count, where an archive is not like others.

        Of those that are `raised`, a version counts more than all others.
        """
        weights, raised = self.view.weights, raised or {}
        if all(weight == NORMAL for weight in weights.values()) and not raised:
            return ""
        found: dict[tuple[str, bytes], int] = {}
        for name in names:
            for source, stanza in self._of(name):
                key = (name, _field(stanza, b"Version"))
                weight = weights.get(source.called, NORMAL)
                found[key] = max(weight, found.get(key, -(1 << 31)))
        found |= {(name, version.encode()): RAISED for name, version in raised.items()}
        return "".join(
            f"Package: {known}\nPin: version {version.decode(errors='replace')}\n"
            f"Pin-Priority: {weight}\n\n"
            for (name, version), weight in found.items()
            if weight != NORMAL
            for known in (name, *(f"{name}:{arch}" for arch in self.view.foreign))
        )

    def _of(self, name: str) -> Iterator[tuple[Source, bytes]]:
        """Give the source and description of every package of a name, as they count."""
        view = self.view
        if not view.arch:
            return self._all_of(name)
        # A flat archive has packages of all architectures in one file.
        fit = [
            one
            for one in self._all_of(name)
            if one[0].called not in view.hidden and _field(one[1], b"Architecture") in view.arches
        ]
        return iter(sorted(fit, key=lambda one: -view.weights.get(one[0].called, NORMAL)))

    def _unlike(self, name: str, only: Collection[str] | None) -> list[bytes]:
        """Describe the different versions of a package; one may be in several pockets."""
        found: dict[tuple[bytes, str], bytes] = {}
        for _, stanza in self._of(name):
            version = _field(stanza, b"Version")
            if only is None or version.decode(errors="replace") in only:
                found.setdefault((version, self._side_of(stanza)), stanza)
        return list(found.values())

    def _side(self, arch: str) -> str:
        """Tell apart what can be installed at once: packages of foreign architectures."""
        return arch if arch in self.view.foreign else ""

    def _side_of(self, stanza: bytes) -> str:
        return self._side(_field(stanza, b"Architecture").decode(errors="replace"))

    def _all_of(self, name: str) -> Iterator[tuple[Source, bytes]]:
        first = self._contents.first.get(name)
        for number in () if first is None else (first, *self._contents.more.get(name, ())):
            file = bisect_right(self._before, number) - 1
            place = number - self._before[file]
            start, end = self._starts[file][place : place + 2]
            yield self._sources[file], self._data[file][start:end].strip(b"\n")

    def stanza(self, name: str, version: str, arch: str = "") -> tuple[str, bytes]:
        """Give the archive and description of one version, by default not a foreign one."""
        for source, stanza in self.of(name, arch):
            if _field(stanza, b"Version") == version.encode():
                return source.archive, stanza
        raise UpstreamError(f"the index has no {name} {version}, which apt has just chosen")

    def package(
        self, name: str, version: str, layer: str, *, requested: bool, arch: str = ""
    ) -> Package:
        """Describe one version as it goes into a lock."""
        archive, stanza = self.stanza(name, version, arch)
        size, sha256 = _field(stanza, b"Size"), _field(stanza, b"SHA256")
        if not size.isdigit() or not sha256:
            raise UpstreamError(f"the index gives no size and sha256 for {name} {version}")
        return described(
            Package(
                name=name,
                version=version,
                arch=_field(stanza, b"Architecture").decode(errors="replace"),
                size=int(size[:_DIGITS]),
                sha256=sha256.decode(errors="replace"),
                archive=archive,
                path=_field(stanza, b"Filename").decode(errors="replace").removeprefix("./"),
                layer=layer,
                requested=requested,
            )
        )


def _identity(path: Path) -> tuple[str, int, int]:
    status = path.stat()
    return path.name, status.st_size, status.st_mtime_ns


def _mapped(path: Path) -> bytes | mmap.mmap:
    """Show a file's bytes without reading it; an empty one cannot be mapped."""
    with path.open("rb") as file:
        try:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError:
            return b""


def _read_notes(path: Path) -> Contents | None:
    with contextlib.suppress(FileNotFoundError, msgspec.DecodeError):
        return msgspec.msgpack.decode(path.read_bytes(), type=Contents)
    return None


def _survey(
    files: list[bytes | mmap.mmap], known: tuple[tuple[str, int, int], ...], own: int
) -> Contents:
    """Find out what is where; so many `own` files are the distribution's, and come first."""
    all_starts: list[bytes] = []
    first: dict[str, int] = {}
    more: dict[str, list[int]] = {}
    providers: dict[str, dict[str, None]] = {}
    seeds: set[str] = set()
    before = 0
    for file, data in enumerate(files):
        starts, names = _starts(data)
        all_starts.append(array("Q", (*starts, len(data))).tobytes())
        for number, name in enumerate(names, before):
            if first.setdefault(name, number) != number:
                more.setdefault(name, []).append(number)
        for match in PROVIDES.finditer(data):
            if (number := bisect_right(starts, match.start())) > 0:
                for other in _names(match[1]):
                    providers.setdefault(other, {})[names[number - 1]] = None
        for mark in SEEDS if file < own else ():
            places = [bisect_right(starts, at) - 1 for at in _places(data, mark)]
            owners = (one for one in places if one >= 0)  # what comes before is no package's
            seeds |= {names[one] for one in owners if first[names[one]] == before + one}
        before += len(names)
    return Contents(
        files=known,
        starts=all_starts,
        first=first,
        more=more,
        providers={name: " ".join(found) for name, found in providers.items()},
        seeds=sorted(seeds),
    )


def _starts(data: bytes | mmap.mmap) -> tuple[list[int], list[str]]:
    """Find where each stanza begins, and its name."""
    starts, names = [], []
    first = re.compile(rb"\s*Package: *(\S+)").match(data)
    for match in (*([first] if first else []), *STANZA.finditer(data)):
        starts.append(match.start())
        names.append(match[1].decode(errors="replace"))  # what is not ASCII, nobody asks for
    return starts, names


def _places(data: bytes | mmap.mmap, mark: bytes) -> Iterator[int]:
    at = data.find(mark)
    while at >= 0:
        yield at
        at = data.find(mark, at + 1)


def field_of(stanza: bytes, name: str) -> str:
    """Read a one-line field of a package's description."""
    return _field(stanza, name.encode()).decode(errors="replace")


def _field(stanza: bytes, name: bytes) -> bytes:
    """Read a one-line field; the first line of the text may be it."""
    start = 0 if stanza.startswith(name + b":") else stanza.find(b"\n" + name + b":") + 1
    if start == 0 and not stanza.startswith(name + b":"):
        return b""
    end = stanza.find(b"\n", start)
    return stanza[start + len(name) + 1 : end if end >= 0 else None].strip()


def _names_in(field: re.Pattern[bytes], stanza: bytes) -> Iterator[str]:
    """Give the names in fields that list packages."""
    for line in field.findall(stanza):
        yield from _names(line)


def _names(line: bytes) -> Iterator[str]:
    """Give the names in a list of packages."""
    for name in NAME.findall(line):
        yield name.decode()
