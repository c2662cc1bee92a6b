"""Signed indexes: what the verified files say about releases and packages, as values."""

import contextlib
import hashlib
import mmap
import re
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import msgspec

from builder.host.programs import Command, Runner
from builder.host.trees.durable import replace
from builder.model.errors import TrustError, UpstreamError
from builder.model.lock import Package, Release, described, seconds_of
from builder.model.value import Value

RELATION = re.compile(rb"^(?:Pre-Depends|Depends): *(.*)$", re.MULTILINE)
WIDE_RELATION = re.compile(rb"^(?:Pre-Depends|Depends|Recommends): *(.*)$", re.MULTILINE)
STANZA = re.compile(rb"\n\nPackage: *(\S+)")
"""Where a stanza begins: with its name, in every index (DebianRepository/Format)."""
PROVIDES = re.compile(rb"\nProvides: *(.*)")
NAME = re.compile(rb"(?:^|[,|]) *([a-z0-9][a-z0-9+.-]+)")
"""A package's name where it begins an alternative (Debian Policy 7.1)."""
_DIGITS = 18
"""Of a size; more of them are no number of bytes."""


@dataclass(frozen=True, slots=True)
class Pocket:
    """One signed folder of an archive, as apt has fetched and verified it."""

    archive: str
    suite: str
    in_release: Path
    packages: tuple[Path, ...]


def find_pockets(lists: Path, pockets: Iterable[tuple[str, str]]) -> tuple[Pocket, ...]:
    """Find what `apt-get update` left in its folder of lists."""
    found = []
    for archive, suite in pockets:
        signed = sorted(lists.glob(f"*_dists_{suite}_InRelease"))
        if not signed:
            raise UpstreamError(f"the mirror of `{archive}` has no InRelease file for `{suite}`")
        files = tuple(sorted(lists.glob(f"*_dists_{suite}_*_Packages")))
        found.append(Pocket(archive, suite, signed[0], files))
    return tuple(found)


def read_release(pocket: Pocket, keyring: Path, run: Runner) -> Release:
    """Note which signed index this is, and who signed it."""
    data = pocket.in_release.read_bytes()
    # Debian gives a pocket a code name of its own, Ubuntu a suite of its own.
    names = (release_field(data, "Codename"), release_field(data, "Suite"))
    if pocket.suite not in names:
        # The signature says that the bytes are genuine, not that they are what was asked for.
        raise TrustError(
            f"the mirror of `{pocket.archive}` serves `{names[0]}` in place of `{pocket.suite}`"
        )
    argv = ("gpgv", "--status-fd", "1", "--keyring", str(keyring), str(pocket.in_release))
    status = run(Command(argv)).stdout.decode(errors="replace")
    # The last word is the fingerprint of the primary key (GnuPG's doc/DETAILS).
    signers = re.findall(r"^\[GNUPG:\] VALIDSIG .*?([0-9A-F]{40})$", status, re.MULTILINE)
    if not signers:
        raise TrustError(f"the InRelease file of `{pocket.suite}` has no good signature")
    return Release(
        archive=pocket.archive,
        suite=pocket.suite,
        sha256=hashlib.sha256(data).hexdigest(),
        date=release_field(data, "Date"),
        signed_by=tuple(sorted(set(signers))),
    )


def release_field(data: bytes, name: str) -> str:
    """Read a one-line field of a Release file; an absent one is empty."""
    found = re.search(rf"^{name}:(.*)$".encode(), data, re.MULTILINE)
    return found[1].strip(b" ").decode(errors="replace") if found else ""


def epoch_of(releases: Iterable[Release]) -> int:
    """Give the newest date, in seconds since 1970; UpstreamError for what is no date."""
    return max(map(_time_of, releases))


def _time_of(release: Release) -> int:
    if (time := seconds_of(release.date)) is None:
        problem = f"the index of `{release.suite}` has a date that is none: {release.date[:100]!r}"
        raise UpstreamError(problem)
    return time


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


class Index:
    """All packages of some pockets, by name; a package is kept as the text that describes it."""

    def __init__(self, pockets: Iterable[Pocket], *, notes: Path | None = None) -> None:
        """Open the files; `notes` is where to note what is in them, for the next time."""
        files = [(pocket.archive, path) for pocket in pockets for path in pocket.packages]
        self._archives = [archive for archive, _ in files]
        self._data = [_mapped(path) for _, path in files]
        known = tuple(_identity(path) for _, path in files)
        contents = _read_notes(notes) if notes else None
        if contents is None or contents.files != known:
            contents = _survey(self._data, known)
            if notes:
                replace(notes, msgspec.msgpack.encode(contents))
        self._contents = contents
        self._starts = [array("Q", one) for one in contents.starts]
        self._before = list(accumulate((len(one) - 1 for one in self._starts), initial=0))

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

    def _of(self, name: str) -> Iterator[tuple[str, bytes]]:
        """Give the archive and description of every package of a name."""
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


def _survey(files: list[bytes | mmap.mmap], known: tuple[tuple[str, int, int], ...]) -> Contents:
    """Find out what is where."""
    all_starts: list[bytes] = []
    first: dict[str, int] = {}
    more: dict[str, list[int]] = {}
    providers: dict[str, dict[str, None]] = {}
    seeds: set[str] = set()
    before = 0
    for data in files:
        starts, names = _starts(data)
        all_starts.append(array("Q", (*starts, len(data))).tobytes())
        for number, name in enumerate(names, before):
            if first.setdefault(name, number) != number:
                more.setdefault(name, []).append(number)
        for match in PROVIDES.finditer(data):
            if (number := bisect_right(starts, match.start())) > 0:
                for other in _names(match[1]):
                    providers.setdefault(other, {})[names[number - 1]] = None
        for mark in (b"\nEssential: yes\n", b"\nPriority: required\n"):
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
