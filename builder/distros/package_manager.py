"""Package managers: what each can tell of a tree, and what it has to do after an upgrade."""

from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from typing import Literal, Protocol

import msgspec

from builder.host.overlayfs.layered import LayeredEntry, Layers

# A container's own packages lie in its layers, and those of its template below. Whoever compares
# the two, or puts another template below, asks here: which packages there are, which paths belong
# to their manager and not to a person, and what is to be run inside so that all fits together
# again. A family of distributions answers in a module of its own.

Find = Callable[[str], LayeredEntry | None]
"""Gives what a tree has at a path: `find` and `below` of `Layers`."""


class OwnPath(msgspec.Struct, frozen=True):
    """Paths that belong to a package manager.

    What is `ignored` changes by itself, and is left out of a comparison. For an upgrade, the first
    of the other rows counts: it takes a `database` from the template, since that tells of the
    template's files, merges `lines`, and has what is to `keep` stay as it is in the container.
    """

    path: str
    """From the root; `*` is anything within a name, `**` all below."""
    how: Literal["ignored", "database", "lines", "keep"]
    reason: str


class InstalledPackage(msgspec.Struct, frozen=True):
    """An installed package."""

    name: str
    arch: str
    version: str
    spec: str
    """What its package manager is told when it is to be installed or removed."""
    automatic: bool = False
    """Whether nobody has asked for it by itself: something else needs it."""


Packages = Mapping[tuple[str, str], InstalledPackage]
"""By name and architecture."""


class PackageContents(msgspec.Struct):
    """What some packages have brought."""

    files: set[str] = set()
    """Paths, folders among them."""
    configs: dict[str, str] = {}
    """Those that a person may change, with `ALGORITHM:DIGEST` of what was shipped."""
    words: set[str] = set()
    """All words of their scripts, which may make users."""


class PackageWork(msgspec.Struct, frozen=True):
    """What is to become of packages, each by its `spec`."""

    install: tuple[str, ...] = ()
    automatic: tuple[str, ...] = ()
    """Those of them that nobody has asked for."""
    remove: tuple[str, ...] = ()
    configs: tuple[str, ...] = ()
    """Configuration files of what is installed; they are there, and stay as they are."""


class PackageManager(Protocol):
    """What keeps the packages of a family of distributions."""

    own: tuple[OwnPath, ...]

    def installed(self, find: Find) -> Packages:
        """Read which packages a tree has; HostError when its tables cannot be read."""

    def contents(self, find: Find, packages: Iterable[InstalledPackage]) -> PackageContents:
        """Read what some of them have brought."""

    def finish(self, work: PackageWork) -> tuple[tuple[str, ...], ...]:
        """Give the commands that do it inside, each as env(1) takes it; all may be run again."""


class ManagerRow(msgspec.Struct, frozen=True):
    """Where a package manager is; it is imported when a tree has its tables, and not before."""

    module: str
    kind: str
    """The class in it, which is made without arguments."""
    tables: tuple[str, ...]
    """Where a tree may have its tables."""


TABLE = (
    ManagerRow("builder.distros.debian.packages", "Dpkg", ("var/lib/dpkg/status",)),
    ManagerRow(
        "builder.distros.rpm.packages",
        "RpmDatabase",
        tuple(
            f"{folder}/{name}"
            for folder in ("usr/lib/sysimage/rpm", "var/lib/rpm")
            for name in ("rpmdb.sqlite", "rpmdb.sqlite-wal", "Packages.db", "Packages")
        ),
    ),
)
"""Those that can answer."""

UNREAD = ("lib/apk/db/installed", "usr/lib/apk/db/installed", "var/lib/pacman/local")
"""Tables of others, which nobody reads here."""


class PackageDifference(msgspec.Struct, frozen=True):
    """How the packages of two trees differ."""

    added: tuple[InstalledPackage, ...] = ()
    removed: tuple[InstalledPackage, ...] = ()
    changed: tuple[tuple[InstalledPackage, InstalledPackage], ...] = ()
    """Before and after."""

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)

    def lines(self) -> list[str]:
        """Say it for people, a line for each package."""
        found = [f"+ {one.name} {one.version}" for one in self.added]
        found += [f"- {one.name} {one.version}" for one in self.removed]
        found += [f"~ {a.name} {a.version} -> {b.version}" for a, b in self.changed]
        return found


class NoPackages:
    """The package manager of a tree that has none, or one that nobody knows."""

    own: tuple[OwnPath, ...] = ()

    def installed(self, find: Find) -> Packages:  # noqa: ARG002  # as the others
        """Know of none."""
        return {}

    def contents(self, find: Find, packages: Iterable[InstalledPackage]) -> PackageContents:  # noqa: ARG002
        """Know of nothing."""
        return PackageContents()

    def finish(self, work: PackageWork) -> tuple[tuple[str, ...], ...]:  # noqa: ARG002
        """Have nothing to do."""
        return ()


def package_manager(layers: Layers) -> PackageManager:
    """Give the package manager of a tree; the template's, where a container has one more."""
    row = _row(layers)
    if row is None:
        return NoPackages()
    made: PackageManager = getattr(import_module(row.module), row.kind)()
    return made


def changes(layers: Layers) -> PackageDifference:
    """Tell what a container has other than its template."""
    row = _row(layers)
    if row is None or not any(_is_touched(layers, path) for path in row.tables):
        return PackageDifference()
    manager = package_manager(layers)
    return compare(manager.installed(layers.below), manager.installed(layers.find))


def compare(before: Packages, after: Packages) -> PackageDifference:
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


def unread_changes(layers: Layers) -> str | None:
    """Name a table of the template's that has changed, and that its package manager knows not."""
    row = _row(layers)
    others = [path for one in TABLE if one is not row for path in one.tables]
    for path in (*others, *UNREAD):
        if layers.below(path) is not None and _is_touched(layers, path):
            return path
    return None


def _row(layers: Layers) -> ManagerRow | None:
    for find in (layers.below, layers.find):
        for row in TABLE:
            if any(find(path) is not None for path in row.tables):
                return row
    return None


def _is_touched(layers: Layers, path: str) -> bool:
    """Tell whether a layer has something of its own there, and not only a copy."""
    below, seen = layers.below(path), layers.find(path)
    if below is None or seen is None:
        return below is not seen
    one, other = below.status, seen.status
    if (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino):
        return False
    if not (below.is_file and seen.is_file and one.st_size == other.st_size):
        return True
    # All pieces but the last are equally long.
    return any(a != b for a, b in zip(below.pieces(), seen.pieces(), strict=False))
