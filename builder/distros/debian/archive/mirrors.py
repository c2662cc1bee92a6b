"""Which mirrors of a distribution this machine uses: settings, apt's sources, the default."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from builder.distros import TABLE
from builder.distros.debian.deb822 import paragraphs
from builder.distros.debian.family import DEBIAN, ArchiveRow, Family
from builder.host.programs import find_program
from builder.model.errors import HostError

APT = Path("/etc/apt")

SCRIPTS = Path("/usr/share/debootstrap/scripts")


def find_mirrors(
    settings: Mapping[str, tuple[str, ...]],
    family: Family = DEBIAN,
    arch: str = "amd64",
    *,
    apt: Path = APT,
    debootstrap: Path | None = None,
) -> dict[str, tuple[str, ...]]:
    """Find the mirrors of all archives: what is set, else what apt uses, else the default.

    Where nothing is known of Debian's security archive, it is taken to lie beside the main one.
    """
    archives = family.archives_for(arch)
    known = {name: tuple(map(_tidy, urls)) for name, urls in settings.items() if urls}
    if not known.keys() >= {archive.name for archive in archives}:
        for name, urls in of_apt(apt, family).items():
            known.setdefault(name, urls)
    for archive in archives:
        if archive.name not in known:
            known[archive.name] = _otherwise(archive, known, debootstrap)
    return {archive.name: known[archive.name] for archive in archives}


def default_mirrors(
    family: Family = DEBIAN, arch: str = "amd64", *, debootstrap: Path | None = None
) -> dict[str, str]:
    """Give the mirrors that a template's own apt uses: the same on every machine that builds it.

    A mirror of the builder's may be private, and would make the bytes depend on who builds.
    """
    known: dict[str, tuple[str, ...]] = {}
    for archive in family.archives_for(arch):
        known[archive.name] = _otherwise(archive, known, debootstrap)
    return {name: urls[0] for name, urls in known.items()}


def _otherwise(
    archive: ArchiveRow, known: Mapping[str, tuple[str, ...]], debootstrap: Path | None
) -> tuple[str, ...]:
    """Give the mirrors of an archive that nobody has said anything about."""
    if archive.beside:
        return _beside(known[archive.beside], archive.name)
    return (archive.home or _built_in(archive, debootstrap),)


def _tidy(url: str) -> str:
    return url.rstrip("/")


def _beside(urls: Iterable[str], name: str) -> tuple[str, ...]:
    """Derive an archive's place from that of another one."""
    return tuple(f"{url.rpartition('/')[0]}/{name}" for url in urls)


def _built_in(archive: ArchiveRow, debootstrap: Path | None) -> str:
    """Give the server that debootstrap has built in for an archive."""
    if archive.script:
        path: Path | None = SCRIPTS / archive.script
        line = rf"^\s*default_mirror (https?://(?!old-)\S+/{archive.folders[0]})$"
    else:
        path = debootstrap or find_program("debootstrap")
        line = r'^DEF_MIRROR="?(https?://[^"\s]+)"?$'
    text = path.read_text(errors="replace") if path and path.exists() else ""
    if found := re.search(line, text, re.MULTILINE):
        return _tidy(found[1])
    raise HostError(
        f"no mirror of `{archive.name}` is known: debootstrap, which has one built in, is not"
        " installed",
        hint=f"apt-get install debootstrap, or name one in `[archive.{archive.name}]` of the"
        " settings",
    )


@dataclass(frozen=True, slots=True)
class SourceEntry:
    """One entry of apt's sources (sources.list(5))."""

    urls: tuple[str, ...]
    suites: tuple[str, ...]
    components: tuple[str, ...]
    signed_by: str = ""


def of_apt(folder: Path, family: Family = DEBIAN) -> dict[str, tuple[str, ...]]:
    """Find mirrors of a distribution among apt's sources; other repositories are left out."""
    found: dict[str, list[str]] = {}
    for entry in (one for one in _entries(folder) if _is_own(one, family)):
        for url in entry.urls:
            archive = _archive(url, entry.suites, family)
            if archive and _tidy(url) not in found.setdefault(archive, []):
                found[archive].append(_tidy(url))
    return {name: tuple(urls) for name, urls in found.items() if urls}


def _is_own(entry: SourceEntry, family: Family) -> bool:
    """Tell whether an entry may be the distribution's own.

    Others use its code names as well; they name keys of their own, or components of their own.
    """
    keys = family.keyring.stem.removesuffix("-keyring")
    return "main" in entry.components and (not entry.signed_by or keys in entry.signed_by)


def _archive(url: str, suites: tuple[str, ...], family: Family) -> str | None:
    """Tell which archive a source is a mirror of, if any."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"}:
        return None
    names = (*TABLE[family.name].suites, *family.aliases)
    # A vendor without keys of its own still has a path of its own, such as `/php`.
    folder = parts.path.rstrip("/").rpartition("/")[2]
    for archive in reversed(family.archives):
        if archive.folders and folder not in archive.folders:
            continue
        if any(archive.pockets[0].format(name) in suites for name in names):
            return archive.name
    return None


def _entries(folder: Path) -> Iterator[SourceEntry]:
    """Read apt's sources in its own order."""
    parts = folder / "sources.list.d"
    lists = [folder / "sources.list", *sorted(parts.glob("*.list"))]
    for path in lists:
        for line in _lines(path):
            if (entry := _one_line(line)) is not None:
                yield entry
    for path in sorted(parts.glob("*.sources")):
        yield from _deb822(_lines(path))


def _lines(path: Path) -> list[str]:
    """Read a file without its comments; one that is missing or not for us has no lines."""
    try:
        text = path.read_text(errors="replace")
    except OSError:
        return []
    return [line for line in text.splitlines() if not line.lstrip().startswith("#")]


def _one_line(line: str) -> SourceEntry | None:
    """Read `deb [signed-by=…] URL SUITE COMPONENT…`."""
    found = re.match(r"deb\s+(?:\[([^\]]*)\]\s*)?(\S+)\s+(\S+)\s+([^#]+)", line.strip())
    if not found:
        return None
    options, url, suite, components = found.groups()
    signed = re.search(r"signed-by=(\S+)", options or "", re.IGNORECASE)
    return SourceEntry((url,), (suite,), tuple(components.split()), signed[1] if signed else "")


def _deb822(lines: list[str]) -> Iterator[SourceEntry]:
    """Read entries in the deb822 style."""
    for fields in paragraphs("\n".join(lines)):
        words = {name: value.split() for name, value in fields.items()}
        if "deb" in words.get("types", []) and words.get("enabled") != ["no"]:
            yield SourceEntry(
                tuple(words.get("uris", [])),
                tuple(words.get("suites", [])),
                tuple(words.get("components", [])),
                " ".join(words.get("signed-by", [])),
            )
