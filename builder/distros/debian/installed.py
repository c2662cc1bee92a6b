"""The packages of a tree, as dpkg's own table tells of them."""

from dataclasses import dataclass

from builder.host.trees.layered import LayeredEntry, Layers
from builder.model.errors import HostError

STATUS = "var/lib/dpkg/status"
INFO = "var/lib/dpkg/info"
MARKS = "var/lib/apt/extended_states"
"""Where apt notes what it installed only because something else needed it."""
_LIMIT = 256 << 20

DATABASES = ("var/lib/rpm", "usr/lib/sysimage/rpm", "lib/apk/db", "var/lib/pacman/local")
"""Where other package managers keep their tables; Oven does not read these."""


@dataclass(frozen=True, slots=True)
class InstalledPackage:
    """An installed package."""

    name: str
    arch: str
    version: str
    conffiles: tuple[tuple[str, str], ...] = ()
    """Path and MD5 sum of each configuration file, as it was shipped."""

    @property
    def lists(self) -> tuple[str, ...]:
        """Name the files that may list what the package has brought."""
        return (f"{INFO}/{self.name}.list", f"{INFO}/{self.name}:{self.arch}.list")


Table = dict[tuple[str, str], InstalledPackage]
"""Packages by name and architecture."""


@dataclass(frozen=True, slots=True)
class PackageDifference:
    """How two tables differ."""

    added: tuple[InstalledPackage, ...]
    removed: tuple[InstalledPackage, ...]
    changed: tuple[tuple[InstalledPackage, InstalledPackage], ...]
    """Before and after."""

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)

    def lines(self) -> list[str]:
        """Say it for people, a line for each package."""
        found = [f"+ {one.name} {one.version}" for one in self.added]
        found += [f"- {one.name} {one.version}" for one in self.removed]
        found += [f"~ {a.name} {a.version} -> {b.version}" for a, b in self.changed]
        return found


def compare(before: Table, after: Table) -> PackageDifference:
    """Tell what has been installed, removed and changed."""
    return PackageDifference(
        added=tuple(after[key] for key in sorted(after.keys() - before.keys())),
        removed=tuple(before[key] for key in sorted(before.keys() - after.keys())),
        changed=tuple(
            (before[key], after[key])
            for key in sorted(before.keys() & after.keys())
            if before[key].version != after[key].version
        ),
    )


def of_container(layers: Layers) -> PackageDifference:
    """Tell what a container has other than its template."""
    return compare(read(layers.below(STATUS)), read(layers.find(STATUS)))


def read(found: LayeredEntry | None) -> Table:
    """Read a table of dpkg; without one there are no packages that this knows of."""
    if found is None or not found.is_file:
        return {}
    table: Table = {}
    for paragraph in _bytes(found).decode(errors="replace").split("\n\n"):
        fields = _fields(paragraph)
        if fields.get("Status", "").split()[2:] in (["installed"], ["triggers-pending"]):
            name, arch = fields.get("Package", ""), fields.get("Architecture", "")
            version, conffiles = fields.get("Version", ""), _conffiles(fields.get("Conffiles", ""))
            table[name, arch] = InstalledPackage(name, arch, version, conffiles=conffiles)
    return table


def automatic(layers: Layers) -> set[str]:
    """Name the packages that nobody has asked for by themselves."""
    found = layers.find(MARKS)
    if found is None or not found.is_file:
        return set()
    paragraphs = map(_fields, _bytes(found).decode(errors="replace").split("\n\n"))
    return {one["Package"] for one in paragraphs if one.get("Auto-Installed") == "1"
            and "Package" in one}  # fmt: skip


def files_of(layers: Layers, package: InstalledPackage, *, below: bool = False) -> set[str]:
    """Give the paths that a package has brought, folders among them."""
    for path in package.lists:
        found = layers.below(path) if below else layers.find(path)
        if found is not None and found.is_file:
            text = _bytes(found).decode(errors="surrogateescape")
            return {line.strip("/") for line in text.splitlines()} - {".", ""}
    return set()


def _bytes(found: LayeredEntry) -> bytes:
    try:
        return found.read(_LIMIT)
    except OSError as error:
        raise HostError(
            f"the table of packages cannot be read: `/{found.path}`: {error.strerror}"
        ) from error


def _fields(paragraph: str) -> dict[str, str]:
    """Read a paragraph as deb822(5) has it; lines that go on keep their breaks."""
    fields: dict[str, list[str]] = {}
    last = ""
    for line in paragraph.splitlines():
        if line.startswith((" ", "\t")):
            fields.setdefault(last, [""]).append(line.strip())
        else:
            last, _, value = line.partition(":")
            fields[last] = [value.strip()]
    return {name: "\n".join(lines) for name, lines in fields.items()}


def _conffiles(text: str) -> tuple[tuple[str, str], ...]:
    rows = (line.split() for line in text.splitlines())
    return tuple((row[0].lstrip("/"), row[1]) for row in rows if len(row) >= 2)
