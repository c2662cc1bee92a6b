"""Signed indexes: what the verified files say about releases and packages, as values."""

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path

from builder.host.process import Command, Runner
from builder.model.errors import TrustError, UpstreamError
from builder.model.lock import Package, Release

RELATION = re.compile(rb"^(?:Pre-Depends|Depends): *(.*)$", re.MULTILINE)
WIDE_RELATION = re.compile(rb"^(?:Pre-Depends|Depends|Recommends): *(.*)$", re.MULTILINE)
PROVIDES = re.compile(rb"^Provides: *(.*)$", re.MULTILINE)
NAME = re.compile(rb"(?:^|[,|]) *([a-z0-9][a-z0-9+.-]+)")
"""A package's name where it begins an alternative (Debian Policy 7.1)."""


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
    codename = release_field(data, "Codename")
    if codename != pocket.suite:
        # The signature says that the bytes are Debian's, not that they are what was asked for.
        raise TrustError(
            f"the mirror of `{pocket.archive}` serves `{codename}` in place of `{pocket.suite}`"
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
    found = re.search(rf"^{name}: *(.*?) *$".encode(), data, re.MULTILINE)
    return found[1].decode(errors="replace") if found else ""


def epoch_of(releases: Iterable[Release]) -> int:
    """Give the newest date, in seconds since 1970."""
    return max(int(parsedate_to_datetime(release.date).timestamp()) for release in releases)


class Index:
    """All packages of some pockets, by name; a package is kept as the text that describes it."""

    def __init__(self, pockets: Iterable[Pocket]) -> None:
        self._stanzas: dict[str, list[tuple[str, bytes]]] = {}
        self._providers: dict[str, set[str]] = {}
        for pocket in pockets:
            for path in pocket.packages:
                for stanza in path.read_bytes().split(b"\n\n"):
                    if name := _field(stanza, b"Package"):
                        self._add(name.decode(), pocket.archive, stanza.strip(b"\n"))

    def _add(self, name: str, archive: str, stanza: bytes) -> None:
        self._stanzas.setdefault(name, []).append((archive, stanza))
        if b"\nProvides:" in stanza:
            for other in _names_in(PROVIDES, stanza):
                self._providers.setdefault(other, set()).add(name)

    def seeds(self) -> tuple[str, ...]:
        """Name the packages that every system of this suite has: essential and required ones.

        The suite's own pocket, read first, decides: updates do not change what is required.
        """
        marks = (b"\nEssential: yes\n", b"\nPriority: required\n")
        return tuple(
            sorted(
                name
                for name, known in self._stanzas.items()
                if any(mark in known[0][1] for mark in marks)
            )
        )

    def names(self) -> Iterator[str]:
        """Give the names of all packages."""
        return iter(self._stanzas)

    def has(self, name: str) -> bool:
        """Tell whether a name can be installed: as a package or as what another one provides."""
        return name in self._stanzas or name in self._providers

    def mentions(self, names: Iterable[str], text: bytes) -> bool:
        """Tell whether the description of one of these packages has `text` in it."""
        return any(text in stanza for name in names for _, stanza in self._stanzas.get(name, ()))

    def reachable(self, names: Iterable[str], *, recommends: bool) -> bytes:
        """Describe all packages that could be chosen so that `names` are installed.

        That is a few thousand of the sixty thousand in a suite, and a solver is as much quicker.
        """
        relation = WIDE_RELATION if recommends else RELATION
        seen = set(names)
        waiting = list(seen)
        while waiting:
            name = waiting.pop()
            near = set(self._providers.get(name, ()))
            for _, stanza in self._stanzas.get(name, ()):
                near.update(_names_in(relation, stanza))
            waiting += near - seen
            seen |= near
        # In the index's order: between equals, a solver takes what comes first.
        return b"".join(
            stanza + b"\n\n"
            for name, known in self._stanzas.items()
            if name in seen
            for stanza in _unlike(known)
        )

    def stanza(self, name: str, version: str) -> tuple[str, bytes]:
        """Give the archive and description of one version."""
        for archive, stanza in self._stanzas.get(name, ()):
            if _field(stanza, b"Version") == version.encode():
                return archive, stanza
        raise UpstreamError(f"the index has no {name} {version}, which apt has just chosen")

    def package(self, name: str, version: str, layer: str, *, requested: bool) -> Package:
        """Describe one version as it goes into a lock."""
        archive, stanza = self.stanza(name, version)
        size, sha256 = _field(stanza, b"Size"), _field(stanza, b"SHA256")
        if not size.isdigit() or not sha256:
            raise UpstreamError(f"the index gives no size and sha256 for {name} {version}")
        return Package(
            name=name,
            version=version,
            arch=_field(stanza, b"Architecture").decode(),
            size=int(size),
            sha256=sha256.decode(),
            archive=archive,
            path=_field(stanza, b"Filename").decode().removeprefix("./"),
            layer=layer,
            requested=requested,
        )


def _unlike(known: Iterable[tuple[str, bytes]]) -> Iterable[bytes]:
    """Give the descriptions of different versions; a version may be in several pockets."""
    versions: dict[bytes, bytes] = {}
    for _, stanza in known:
        versions.setdefault(_field(stanza, b"Version"), stanza)
    return versions.values()


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
        for name in NAME.findall(line):
            yield name.decode()
