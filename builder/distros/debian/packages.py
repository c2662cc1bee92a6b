"""The packages of a tree, as the tables of dpkg and apt tell of them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from builder.distros.debian.deb822 import paragraphs
from builder.distros.package_manager import (
    Find,
    InstalledPackage,
    OwnPath,
    PackageContents,
    Packages,
    PackageWork,
)
from builder.host.overlayfs.layered import LayeredEntry
from builder.model.errors import HostError

STATUS = "var/lib/dpkg/status"
INFO = "var/lib/dpkg/info"
MARKS = "var/lib/apt/extended_states"
"""Where apt notes what it installed only because something else needed it."""
_LIMIT = 256 << 20
_SCRIPT_LIMIT = 1 << 20

_ENVIRONMENT = ("DEBIAN_FRONTEND=noninteractive", "LC_ALL=C.UTF-8")
_APT = (
    *_ENVIRONMENT, "apt-get", "-qq", "--yes", "-o", "Dpkg::Options::=--force-confdef",
    "-o", "Dpkg::Options::=--force-confold",
)  # fmt: skip


class Dpkg:
    """The package manager of Debian and its kin: dpkg, and apt in front of it."""

    own: tuple[OwnPath, ...] = (
        OwnPath("var/lib/apt/lists/**", "ignored", "what `apt-get update` fetched"),
        OwnPath("var/lib/apt/periodic/**", "ignored", "when apt last did something"),
        OwnPath("var/lib/apt/daily_lock", "ignored", "a lock"),
        OwnPath("var/lib/dpkg/*-old", "ignored", "a backup"),
        OwnPath("var/lib/dpkg/lock*", "ignored", "a lock"),
        OwnPath("var/lib/dpkg/triggers/Lock", "ignored", "a lock"),
        OwnPath("var/lib/dpkg/triggers/Unincorp", "ignored", "what dpkg has still to do"),
        OwnPath("var/lib/dpkg/diversions", "lines", "an administrator's too (dpkg-divert(1))"),
        OwnPath(
            "var/lib/dpkg/statoverride", "lines", "an administrator's too (dpkg-statoverride(1))"
        ),
        OwnPath("var/lib/dpkg/**", "database", "it must tell of the template's files"),
        OwnPath(MARKS, "database", "belongs to dpkg's tables"),
        OwnPath("var/lib/apt/**", "keep", "made again when it is missed"),
        OwnPath("var/lib/ucf/**", "lines", "which configuration files were asked about (ucf(1))"),
    )

    def installed(self, find: Find) -> Packages:
        """Read dpkg's table, and apt's marks."""
        rows = _read(find(STATUS))
        marks = _automatic(find) if rows else set()
        return {
            (one.name, one.arch): InstalledPackage(
                one.name,
                one.arch,
                one.version,
                spec=one.name if one.arch == "all" else f"{one.name}:{one.arch}",
                automatic=one.name in marks,
            )
            for one in rows
        }

    def contents(self, find: Find, packages: Iterable[InstalledPackage]) -> PackageContents:
        """Read what packages have brought; conffiles have an MD5 sum (deb-conffiles(5))."""
        wanted = {(one.name, one.arch) for one in packages}
        found = PackageContents()
        for row in _read(find(STATUS)) if wanted else ():
            if (row.name, row.arch) in wanted:
                found.files |= _files(find, row)
                found.configs |= {path: f"md5:{digest}" for path, digest in row.conffiles}
                found.words.update(_words(find, row))
        return found

    def finish(self, work: PackageWork) -> tuple[tuple[str, ...], ...]:
        """Have apt do it; dpkg leaves configuration files that are there."""
        if not (work.install or work.remove):
            return ()
        commands: list[tuple[str, ...]] = [(*_APT, "update")]
        if work.install:
            commands.append((*_APT, "--no-install-recommends", "install", "--", *work.install))
        if work.automatic:
            commands.append((*_ENVIRONMENT, "apt-mark", "-qq", "auto", "--", *work.automatic))
        if work.remove:
            commands.append((*_APT, "remove", "--", *work.remove))
        return tuple(commands)


@dataclass(frozen=True, slots=True)
class _Row:
    """A row of dpkg's table."""

    name: str
    arch: str
    version: str
    conffiles: tuple[tuple[str, str], ...]
    """Path and MD5 sum of each configuration file, as it was shipped."""

    def in_info(self, kind: str) -> tuple[str, str]:
        """Name the files that may tell something of the package."""
        return f"{INFO}/{self.name}.{kind}", f"{INFO}/{self.name}:{self.arch}.{kind}"


def _read(found: LayeredEntry | None) -> list[_Row]:
    if found is None or not found.is_file:
        return []
    rows = []
    for fields in paragraphs(_bytes(found).decode(errors="replace")):
        if fields.get("status", "").split()[2:] in (["installed"], ["triggers-pending"]):
            name, arch = fields.get("package", ""), fields.get("architecture", "")
            version, conffiles = fields.get("version", ""), _conffiles(fields.get("conffiles", ""))
            rows.append(_Row(name, arch, version, conffiles))
    return rows


def _automatic(find: Find) -> set[str]:
    """Name the packages that nobody has asked for by themselves."""
    found = find(MARKS)
    if found is None or not found.is_file:
        return set()
    marks = paragraphs(_bytes(found).decode(errors="replace"))
    return {one["package"] for one in marks if one.get("auto-installed") == "1"
            and "package" in one}  # fmt: skip


def _files(find: Find, row: _Row) -> set[str]:
    for path in row.in_info("list"):
        found = find(path)
        if found is not None and found.is_file:
            text = _bytes(found).decode(errors="surrogateescape")
            return {line.strip("/") for line in text.split("\n")} - {".", ""}
    return set()


def _words(find: Find, row: _Row) -> Iterator[str]:
    for path in (*row.in_info("preinst"), *row.in_info("postinst")):
        found = find(path)
        if found is not None and found.is_file and found.status.st_size <= _SCRIPT_LIMIT:
            text = _bytes(found).decode(errors="replace")
            yield from text.replace('"', " ").replace("'", " ").replace("=", " ").split()


def _bytes(found: LayeredEntry) -> bytes:
    try:
        return found.read(_LIMIT)
    except OSError as error:
        raise HostError(
            f"the table of packages cannot be read: `/{found.path}`: {error.strerror}"
        ) from error


def _conffiles(text: str) -> tuple[tuple[str, str], ...]:
    rows = (line.split() for line in text.split("\n"))
    return tuple((row[0].lstrip("/"), row[1]) for row in rows if len(row) >= 2)
