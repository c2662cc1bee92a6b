"""Families: what one distribution of Debian's kin has different from the others, as data."""

from dataclasses import dataclass
from pathlib import Path

# apt, dpkg and the layout of archives are the same for all of them. A distribution says which
# archives there are, who signs them, and which folders of an archive make up a suite.

ALL = "*"


@dataclass(frozen=True, slots=True)
class ArchiveRow:
    """A place with `dists/` and `pool/` that many mirrors copy."""

    name: str
    """What settings call it: `[archive.NAME]`."""
    pockets: tuple[str, ...]
    """The folders below `dists/` that belong to a suite, `{}` being its name; the first one is
    the suite as it was released."""
    folders: tuple[str, ...]
    """How the path of a mirror ends, so that it is known again in apt's sources."""
    home: str | None = None
    """The distribution's own server, if debootstrap does not know it."""
    script: str | None = None
    """The script of debootstrap's that names the server; by default the program itself does."""
    beside: str | None = None
    """The archive in whose parent folder mirrors have this one, unless told otherwise."""
    arches: tuple[str, ...] = (ALL,)
    """The architectures that it has."""
    further: tuple[str, ...] = ()
    """Folders of a suite that nothing is taken from unless a recipe names them."""


@dataclass(frozen=True, slots=True)
class Family:
    """A distribution."""

    name: str
    """What recipes call it, and settings the keys: `[archive.NAME] keyring`."""
    title: str
    """Its name as people write it."""
    archives: tuple[ArchiveRow, ...]
    """The first one that has an architecture is where its suites are."""
    keyring: Path
    """The keys that sign the archives: the host's file, and the one in a template."""
    keyring_package: str
    """The package of the host that has the keys."""
    aliases: tuple[str, ...] = ()
    """What apt's sources may say besides the names of suites that recipes can be built for."""
    moving: frozenset[str] = frozenset()
    """Suites that are changed in place, and so are one folder only."""

    @property
    def sources(self) -> str:
        """The file of a tree that tells its apt where packages come from."""
        return f"etc/apt/sources.list.d/{self.name}.sources"

    def archives_for(self, arch: str) -> tuple[ArchiveRow, ...]:
        """Give the archives that have an architecture."""
        return tuple(one for one in self.archives if {ALL, arch} & {*one.arches})

    def pockets(self, suite: str, arch: str) -> tuple[tuple[str, str], ...]:
        """Name the archive and folder of every pocket that makes up a suite."""
        archives = self.archives_for(arch)
        if suite in self.moving:
            return ((archives[0].name, suite),)
        return tuple(
            (archive.name, pocket.format(suite))
            for archive in archives
            for pocket in archive.pockets
        )

    def further(self, suite: str, arch: str) -> dict[str, str]:
        """Name the pockets of a suite that must be asked for, each with its archive."""
        if suite in self.moving:
            return {}
        return {
            pocket.format(suite): archive.name
            for archive in self.archives_for(arch)
            for pocket in archive.further
        }


DEBIAN = Family(
    name="debian",
    title="Debian",
    aliases=("oldoldstable", "oldstable", "stable", "testing", "unstable", "duke"),
    moving=frozenset({"forky", "sid"}),
    archives=(
        ArchiveRow(
            "debian",
            ("{}", "{}-updates"),
            ("debian",),
            further=("{}-backports", "{}-backports-sloppy", "{}-proposed-updates"),
        ),
        ArchiveRow("debian-security", ("{}-security",), (), beside="debian"),
    ),
    keyring=Path("/usr/share/keyrings/debian-archive-keyring.gpg"),
    keyring_package="debian-archive-keyring",
)
