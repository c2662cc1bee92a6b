"""Which mirrors of Debian's archives this machine uses: settings, apt's sources, the default."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from builder.host.process import find_program
from builder.model.errors import HostError

MAIN = "debian"
SECURITY = "debian-security"
ARCHIVES = (MAIN, SECURITY)

CODENAMES = ("bullseye", "bookworm", "trixie", "forky", "duke", "sid")
"""The releases that have the layout of today, `SUITE-security` (since bullseye)."""

SUPPORTED = ("bullseye", "bookworm", "trixie", "forky", "sid")
"""What a recipe may name."""

WITHOUT_POCKETS = frozenset({"forky", "sid"})
"""Suites that are changed in place, and so have neither security nor updates pockets."""

ALIASES = ("oldoldstable", "oldstable", "stable", "testing", "unstable")

APT = Path("/etc/apt")


def pockets(suite: str) -> tuple[tuple[str, str], ...]:
    """Name the archive and folder of every pocket that makes up a suite."""
    if suite in WITHOUT_POCKETS:
        return ((MAIN, suite),)
    return ((MAIN, suite), (MAIN, f"{suite}-updates"), (SECURITY, f"{suite}-security"))


def find_mirrors(
    settings: Mapping[str, tuple[str, ...]], *, apt: Path = APT, debootstrap: Path | None = None
) -> dict[str, tuple[str, ...]]:
    """Find the mirrors of both archives: what is set, else what apt uses, else the default.

    The default is the one that the installed debootstrap has built in; where nothing is known of
    the security archive, it is taken to lie beside the main one.
    """
    known = {name: tuple(map(_tidy, urls)) for name, urls in settings.items() if urls}
    if not known.keys() >= set(ARCHIVES):
        for name, urls in of_apt(apt).items():
            known.setdefault(name, urls)
    if MAIN not in known:
        known[MAIN] = (_default(debootstrap or find_program("debootstrap")),)
    if SECURITY not in known:
        known[SECURITY] = _beside(known[MAIN])
    return {name: known[name] for name in ARCHIVES}


def default_mirrors(debootstrap: Path | None = None) -> dict[str, str]:
    """Give the mirrors that a template's own apt uses: the same on every machine that builds it.

    A mirror of the builder's may be private, and would make the bytes depend on who builds.
    """
    main = _default(debootstrap or find_program("debootstrap"))
    return {MAIN: main, SECURITY: _beside((main,))[0]}


def _tidy(url: str) -> str:
    return url.rstrip("/")


def _beside(urls: Iterable[str]) -> tuple[str, ...]:
    """Derive the security archive's place from the main archive's."""
    return tuple(f"{url.rpartition('/')[0]}/{SECURITY}" for url in urls)


def _default(debootstrap: Path | None) -> str:
    if debootstrap:
        script = debootstrap.read_text(errors="replace")
        if found := re.search(r'^DEF_MIRROR="?(https?://[^"\s]+)"?$', script, re.MULTILINE):
            return _tidy(found[1])
    raise HostError(
        "no mirror of Debian is known: debootstrap, which has one built in, is not installed",
        hint="apt-get install debootstrap",
    )


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of apt's sources (sources.list(5))."""

    urls: tuple[str, ...]
    suites: tuple[str, ...]
    components: tuple[str, ...]
    signed_by: str = ""


def of_apt(folder: Path) -> dict[str, tuple[str, ...]]:
    """Find mirrors of Debian among apt's sources; other vendors' repositories are left out."""
    found: dict[str, list[str]] = {}
    for entry in filter(_is_debian, _entries(folder)):
        for url in entry.urls:
            archive = _archive(url, entry.suites)
            if archive and _tidy(url) not in found.setdefault(archive, []):
                found[archive].append(_tidy(url))
    return {name: tuple(urls) for name, urls in found.items() if urls}


def _is_debian(entry: Entry) -> bool:
    """Tell whether an entry may be Debian's own.

    Others use Debian's code names as well; they name keys of their own, or components of their own.
    """
    return "main" in entry.components and (
        not entry.signed_by or "debian-archive" in entry.signed_by
    )


def _archive(url: str, suites: tuple[str, ...]) -> str | None:
    """Tell which archive a source is a mirror of, if any."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"}:
        return None
    names = (*CODENAMES, *ALIASES)
    if any(f"{name}-security" in suites for name in names):
        return SECURITY
    # A vendor without keys of its own still has a path of its own, such as `/php`.
    folder = parts.path.rstrip("/").rpartition("/")[2]
    return MAIN if folder == "debian" and any(name in suites for name in names) else None


def _entries(folder: Path) -> Iterator[Entry]:
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


def _one_line(line: str) -> Entry | None:
    """Read `deb [signed-by=…] URL SUITE COMPONENT…`."""
    found = re.match(r"deb\s+(?:\[([^\]]*)\]\s*)?(\S+)\s+(\S+)\s+([^#]+)", line.strip())
    if not found:
        return None
    options, url, suite, components = found.groups()
    signed = re.search(r"signed-by=(\S+)", options or "", re.IGNORECASE)
    return Entry((url,), (suite,), tuple(components.split()), signed[1] if signed else "")


def _deb822(lines: list[str]) -> Iterator[Entry]:
    """Read paragraphs of fields."""
    from debian_inspector.debcon import get_paragraphs_data

    for fields in get_paragraphs_data("\n".join(lines)):
        words = {name.lower(): str(value).split() for name, value in fields.items()}
        if "deb" in words.get("types", []) and words.get("enabled") != ["no"]:
            yield Entry(
                tuple(words.get("uris", [])),
                tuple(words.get("suites", [])),
                tuple(words.get("components", [])),
                " ".join(words.get("signed-by", [])),
            )
