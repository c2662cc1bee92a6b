"""Indexes: what the verified files of an archive say about packages, found by name."""

import contextlib
import copy
import mmap
import re
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path

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
    """Which packages of repositories count, beside those for all architectures."""
    weights: Mapping[str, int] = field(default_factory=dict)
    """The priorities of repositories."""
    hidden: frozenset[str] = frozenset()
    """Repositories of which nothing is seen."""


class Index:
    """All packages of some pockets, by name; a package is kept as the text that describes it."""

    def __init__(self, pockets: Iterable[Pocket], *, notes: Path | None = None) -> None:
        """Open the files; `notes` is where to note what is in them, for the next time."""
        found = tuple(pockets)
        files = [(pocket.archive, path) for pocket in found for path in pocket.packages]
        own = sum(len(pocket.packages) for pocket in found if not pocket.added)
        self._archives = [archive for archive, _ in files]
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
        return name in self._contents.first or name in self._contents.providers

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
        versions: Mapping[str, str] | None = None,
    ) -> bytes:
        """Describe all packages that could be chosen so that `names` are installed.

        That is a few thousand of the sixty thousand in a suite, and a solver is as much quicker.
        What the packages that are `there` need is there as well. A package in `versions` is
        described only in that version, which must exist.
        """
        relation = WIDE_RELATION if recommends else RELATION
        fixed, leaves = versions or {}, frozenset(there)
        seen = set(names)
        waiting = list(seen)
        found: dict[str, list[bytes]] = {}
        while waiting:
            name = waiting.pop()
            near = set(self._contents.providers.get(name, "").split())
            found[name] = _unlike((one for _, one in self._of(name)), fixed.get(name))
            if name not in leaves:
                for stanza in found[name]:
                    near.update(_names_in(relation, stanza))
            waiting += near - seen
            seen |= near
        # In the index's order: between equals, a solver takes what comes first.
        order = sorted(found, key=lambda name: self._contents.first.get(name, 0))
        return b"".join(stanza + b"\n\n" for name in order for stanza in found[name])

    def pins(self, names: Iterable[str]) -> str:
        """Say how much the versions of packages count, where an archive is not like others."""
        weights = self.view.weights
        if all(weight == NORMAL for weight in weights.values()):
            return ""
        found: dict[tuple[str, bytes], int] = {}
        for name in names:
            for archive, stanza in self._of(name):
                key = (name, _field(stanza, b"Version"))
                found[key] = max(weights.get(archive, NORMAL), found.get(key, -(1 << 31)))
        return "".join(
            f"Package: {name}\nPin: version {version.decode(errors='replace')}\n"
            f"Pin-Priority: {weight}\n\n"
            for (name, version), weight in found.items()
            if weight != NORMAL
        )

    def _of(self, name: str) -> Iterator[tuple[str, bytes]]:
        """Give the archive and description of every package of a name, as they count."""
        weights, arches = self.view.weights, (b"all", self.view.arch.encode())
        found = [one for one in self._all_of(name) if one[0] not in self.view.hidden]
        if not weights:
            return iter(found)
        # A flat archive has packages of all architectures in one file.
        fit = [
            (archive, stanza)
            for archive, stanza in found
            if archive not in weights or _field(stanza, b"Architecture") in arches
        ]
        return iter(sorted(fit, key=lambda one: -weights.get(one[0], NORMAL)))

    def _all_of(self, name: str) -> Iterator[tuple[str, bytes]]:
        first = self._contents.first.get(name)
        for number in () if first is None else (first, *self._contents.more.get(name, ())):
            file = bisect_right(self._before, number) - 1
            place = number - self._before[file]
            start, end = self._starts[file][place : place + 2]
            yield self._archives[file], self._data[file][start:end].strip(b"\n")

    def stanza(self, name: str, version: str) -> tuple[str, bytes]:
        """Give the archive and description of one version."""
        for archive, stanza in self._of(name):
            if _field(stanza, b"Version") == version.encode():
                return archive, stanza
        raise UpstreamError(f"the index has no {name} {version}, which apt has just chosen")

    def package(self, name: str, version: str, layer: str, *, requested: bool) -> Package:
        """Describe one version as it goes into a lock."""
        archive, stanza = self.stanza(name, version)
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


def _unlike(stanzas: Iterable[bytes], only: str | None) -> list[bytes]:
    """Give the descriptions of different versions; a version may be in several pockets."""
    versions: dict[bytes, bytes] = {}
    for stanza in stanzas:
        version = _field(stanza, b"Version")
        if only is None or version == only.encode():
            versions.setdefault(version, stanza)
    return list(versions.values())


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
