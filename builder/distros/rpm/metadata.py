"""Repository metadata: what the verified files of a repository say, as values."""

import contextlib
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path
from typing import TYPE_CHECKING

from builder.model.errors import UpstreamError

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_REPO = "{http://linux.duke.edu/metadata/repo}"
_COMMON = "{http://linux.duke.edu/metadata/common}"
_RPM = "{http://linux.duke.edu/metadata/rpm}"
_GROUPS = ("group", "group_gz", "group_xz", "group_zst")
"""The parts of an index that tell of groups; each is the same, and dnf fetches one of them."""
_GROUP = re.compile(rb"<(?:group|environment)>\s*<id>([^<]{1,100})</id>")
_OPEN = (
    b'<metadata xmlns="http://linux.duke.edu/metadata/common"'
    b' xmlns:rpm="http://linux.duke.edu/metadata/rpm">'
)
_LARGEST = 256 << 20
"""Bytes of an unpacked index; Fedora's has 160 MB."""
_MOST = 1_000_000
"""Packages in it; Fedora's has 70,000."""
_ELEMENT = 4 << 20
"""Bytes that are parsed at once: a package's description, or what lists the indexes."""
_DIGITS = 12
"""Of a number; more are no size and no time."""


@dataclass(frozen=True, slots=True)
class RpmEntry:
    """A package as its repository describes it."""

    name: str
    version: str
    """`[epoch:]version-release`."""
    arch: str
    size: int
    sha256: str
    location: str
    """Below the repository."""
    provides: tuple[tuple[str, str, str], ...]
    """Name, comparison such as `EQ`, and version; the latter two may be empty."""
    requires: tuple[tuple[str, str, str], ...]
    conflicts: tuple[tuple[str, str, str], ...]
    obsoletes: tuple[tuple[str, str, str], ...]
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Revision:
    """Which state of a repository this is."""

    sha256: str
    """Of `repomd.xml`."""
    time: int
    """The newest date in it, in seconds since 1970."""

    @property
    def date(self) -> str:
        """The same as RFC 2822 writes it."""
        return formatdate(self.time, usegmt=True)


class Metadata:
    """The index of one repository, as dnf has fetched and verified it."""

    def __init__(self, folder: Path) -> None:
        """Read what lies in a folder that has `repodata/`."""
        self.repomd = folder / "repodata/repomd.xml"
        data = self.repomd.read_bytes()
        root = parse(data)
        parts = {part.get("type"): part for part in root.findall(f"{_REPO}data")}
        if "primary" not in parts:
            raise UpstreamError(f"the index of the repository lists no packages: {self.repomd}")
        times = [_number(part.findtext(f"{_REPO}timestamp")) for part in parts.values()]
        self.revision = Revision(hashlib.sha256(data).hexdigest(), max(times))
        path = self._file(parts["primary"])
        self._data = _unpacked(path)
        self._stanzas = _places_of(self._data, path)
        self._of_groups = [self._file(parts[kind]) for kind in _GROUPS if kind in parts]

    def _file(self, part: "Element") -> Path:
        place = part.find(f"{_REPO}location")
        name = Path(str(place.get("href"))).name if place is not None else "absent"
        return self.repomd.parent / name

    def groups(self) -> Iterator[str]:
        """Give the words that ask for its groups and environments."""
        for path in self._of_groups:
            with contextlib.suppress(UpstreamError):  # a better hint is all that is missed
                for name in _GROUP.findall(_unpacked(path)):
                    yield f"@{name.decode(errors='replace')}"

    def names(self) -> Iterator[str]:
        """Give the names of all packages."""
        return iter(self._stanzas)

    def entry(self, name: str, version: str, arch: str) -> RpmEntry | None:
        """Give one package; `version` may have an epoch of 0 in it or leave it out."""
        wanted = version.removeprefix("0:")
        for entry in self.entries(name):
            if (entry.version, entry.arch) == (wanted, arch):
                return entry
        return None

    def entries(self, name: str) -> Iterator[RpmEntry]:
        """Give every version of a package."""
        return (read_entry(self._data[start:end]) for start, end in self._stanzas.get(name, ()))


def parse(data: bytes) -> "Element":
    """Parse XML that declares nothing of its own."""
    import xml.etree.ElementTree as ET  # slow to import

    if len(data) > _ELEMENT:
        raise UpstreamError(f"the index of a repository has more than {_ELEMENT >> 20} MiB in one")
    if b"<!" in data.replace(b"<!--", b"") or b"\0" in data:  # UTF-16 writes it with NULs
        # An index has no need of entities, and those of an attacker would fill the memory.
        raise UpstreamError("the index of a repository declares a document type")
    try:
        return ET.fromstring(data.decode())
    except (ET.ParseError, UnicodeDecodeError) as error:
        raise UpstreamError(f"the index of a repository is damaged: {error}") from error


def _places_of(data: bytes, path: Path) -> dict[str, list[tuple[int, int]]]:
    """Find where packages stand in the list, which may be large, without parsing all of it."""
    found: dict[str, list[tuple[int, int]]] = {}
    at = many = 0
    while (start := data.find(b"<package ", at)) >= 0:
        at = data.find(b"</package>", start)
        if at < 0:
            raise UpstreamError(f"the index of a repository is cut off: {path.name}")
        at += len(b"</package>")
        many += 1
        if many > _MOST:
            problem = f"the index of a repository has more than {_MOST} packages: {path.name}"
            raise UpstreamError(problem)
        begin = data.find(b"<name>", start, at) + len(b"<name>")
        name = data[begin : data.find(b"</name>", begin, at)].decode(errors="replace")
        found.setdefault(name, []).append((start, at))
    return found


def _unpacked(path: Path) -> bytes:
    import bz2
    import gzip
    import lzma
    import zlib

    import zstandard

    try:
        data = path.read_bytes()
        if path.suffix == ".zst":
            data = zstandard.ZstdDecompressor().stream_reader(data).read(_LARGEST + 1)
        elif opened := {".gz": gzip, ".xz": lzma, ".bz2": bz2}.get(path.suffix):
            with opened.open(path) as file:
                data = file.read(_LARGEST + 1)
    except (OSError, EOFError, lzma.LZMAError, zlib.error, zstandard.ZstdError) as error:
        raise UpstreamError(f"the index of a repository is damaged: {path.name}") from error
    if len(data) > _LARGEST:
        problem = f"the index of a repository has more than {_LARGEST >> 20} MiB: {path.name}"
        raise UpstreamError(problem)
    return data


def read_entry(stanza: bytes) -> RpmEntry:
    """Read the description of one package."""
    package = parse(_OPEN + stanza + b"</metadata>")[0]
    version, checksum, size, place = (
        package.find(f"{_COMMON}{part}") for part in ("version", "checksum", "size", "location")
    )
    name = package.findtext(f"{_COMMON}name") or ""
    if version is None or checksum is None or size is None or place is None:
        raise UpstreamError(f"the index does not say what `{name}` is")
    if checksum.get("type") != "sha256" or not re.fullmatch("[0-9a-f]{64}", checksum.text or ""):
        raise UpstreamError(f"the index gives no sha256 for `{name}`")
    location = str(place.get("href"))
    if location.startswith("/") or ".." in location.split("/"):
        raise UpstreamError(f"the index has `{name}` outside of its repository: {location}")
    form = package.find(f"{_COMMON}format")
    return RpmEntry(
        name=name,
        version=_version(version),
        arch=package.findtext(f"{_COMMON}arch") or "",
        size=_number(size.get("package")),
        sha256=str(checksum.text),
        location=location,
        provides=_relations(form, "provides"),
        requires=_relations(form, "requires"),
        conflicts=_relations(form, "conflicts"),
        obsoletes=_relations(form, "obsoletes"),
        files=tuple(
            file.text or "" for file in (form.findall(f"{_COMMON}file") if form is not None else ())
        ),
    )


def _relations(form: "Element | None", kind: str) -> tuple[tuple[str, str, str], ...]:
    listed = None if form is None else form.find(f"{_RPM}{kind}")
    if listed is None:
        return ()
    return tuple((one.get("name", ""), one.get("flags", ""), _version(one)) for one in listed)


def _version(element: "Element") -> str:
    """Write `[epoch:]version[-release]`."""
    epoch, version = element.get("epoch") or "0", element.get("ver") or ""
    release = element.get("rel")
    text = f"{version}-{release}" if release else version
    return text if epoch == "0" or not version else f"{epoch}:{text}"


def _number(text: str | None) -> int:
    """Read a whole number; what is none counts as 0."""
    sound = text and text.isascii() and text.isdigit() and len(text) <= _DIGITS
    return int(text) if text and sound else 0
