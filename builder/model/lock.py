"""Locks: exactly which bytes a recipe means."""

from typing import Annotated, Final, Literal

import msgspec

from builder.model.errors import UpstreamError
from builder.model.names import PackageName, Sha256
from builder.model.package_words import PackageWord, read_word
from builder.model.recipe import TARBALL, Arch, Tarball
from builder.model.value import Digest, Value

_DATE = 100
"""Characters of a date; RFC 2822 has some thirty."""

BASE: Final = "base"
"""The layer of the distribution's minimum; no recipe may have this name."""


class AskedRepository(Value, frozen=True, kw_only=True):
    """An archive that is not the distribution's own, as far as it decides what is chosen."""

    name: str
    url: str
    suites: tuple[str, ...] = ()
    components: tuple[str, ...] = ()
    priority: int | None = None
    keys: tuple[str, ...]
    """Fingerprints of the keys that may sign it."""


class AskedLayer(Value, frozen=True, kw_only=True):
    """What one recipe wants to have installed on what it stands on."""

    recipe: str
    """Its name, which is the layer's."""
    install: tuple[str, ...] = ()
    recommends: bool = False
    remove: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET
    """What is to go of the layers below, and not to come; unset if nothing."""
    repositories: tuple[AskedRepository, ...] | msgspec.UnsetType = msgspec.UNSET
    """Where its packages, and those of the layers above, may come from besides; unset if nowhere,
    so that older locks say the same."""

    @property
    def archives(self) -> tuple[AskedRepository, ...]:
        """Give the repositories that this layer adds."""
        return self.repositories or ()

    @property
    def removals(self) -> tuple[str, ...]:
        """Name what this layer does not want."""
        return self.remove or ()

    def words(self) -> tuple[PackageWord, ...]:
        """Give what is to be installed, taken apart."""
        return tuple(map(read_word, self.install))


class Asked(Value, frozen=True, kw_only=True):
    """The part of a recipe, and of what it stands on, that decides which packages are locked."""

    distro: str
    suite: str
    arch: Arch
    components: tuple[str, ...]
    layers: tuple[AskedLayer, ...]
    """The recipe and all that it stands on, the lowest first."""
    tarball: Tarball | None = None
    """What the lowest one starts from instead of a distribution's packages."""

    @property
    def repositories(self) -> tuple[AskedRepository, ...]:
        """Give the repositories of all layers, the lowest first."""
        return tuple(one for layer in self.layers for one in layer.archives)

    @property
    def known(self) -> bool:
        """Whether it is said which distribution it is; of a tarball it need not be."""
        return self.distro != TARBALL

    @property
    def changes_packages(self) -> bool:
        """Whether a layer says anything of packages."""
        return any(layer.install or layer.removals for layer in self.layers)

    @property
    def foreign(self) -> tuple[str, ...]:
        """Name the architectures that packages are asked of besides the template's own."""
        found = {word.arch for layer in self.layers for word in layer.words()}
        return tuple(sorted(found - {"", self.arch, "all", "any"}))


class Release(Value, frozen=True, kw_only=True):
    """A signed index that packages were taken from."""

    archive: str
    """Which of the distribution's archives, such as `debian-security`, or of the repositories."""
    suite: str
    """The suite's folder below `dists/`, such as `bookworm-security`."""
    sha256: Sha256
    """Of the InRelease file, signature included."""
    date: str
    """The index's own `Date:` field (RFC 2822)."""
    signed_by: tuple[str, ...]
    """Fingerprints of the keys whose signatures were found good."""
    known_as: str | msgspec.UnsetType = msgspec.UNSET
    """What apt's pins tell a repository's suite by: `o=Vendor,n=bookworm`."""


class Package(Value, frozen=True, kw_only=True):
    """One package file."""

    name: PackageName
    version: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9.+~^:_-]+\Z")]
    """Debian Policy 5.6.12, and what rpm-version(7) allows beyond it."""
    arch: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9_]+\Z")]
    """The package's own architecture: the recipe's, or `all`."""
    size: Annotated[int, msgspec.Meta(ge=1)]
    """Bytes."""
    sha256: Sha256
    archive: str
    """Which of the distribution's archives or of the repositories it is in."""
    path: Annotated[str, msgspec.Meta(pattern=r"^(?!/)(?!(.*/)?\.\.(/|$)).+\Z")]
    """Below the archive's root: `pool/main/b/bash/bash_5.2.15-2_amd64.deb`."""
    layer: str
    """Who brought it: `BASE`, or the name of a recipe."""
    requested: bool = False
    """Whether somebody asked for it by name; the others are dependencies."""


class Removal(Value, frozen=True, kw_only=True):
    """A package of a lower layer that a layer takes away."""

    name: PackageName
    arch: str
    layer: str
    """The name of the recipe that does not want it."""


class Lock(Value, frozen=True, kw_only=True):
    """Everything that a build may use."""

    version: Literal[2] = 2
    recipe: Digest
    """Of `asked`."""
    asked: Asked
    epoch: int
    """Seconds since 1970 that no file time in the template exceeds: the newest Release's date when
    the lock was made; one that is extended, its packages staying the same, keeps it."""
    releases: tuple[Release, ...]
    packages: tuple[Package, ...]
    """Sorted by name."""
    removed: tuple[Removal, ...] | msgspec.UnsetType = msgspec.UNSET
    """What a layer takes away of those below, sorted by name; unset if nothing."""

    def removed_by(self, layer: str) -> tuple[Removal, ...]:
        """Give what one layer takes away."""
        return tuple(one for one in self.removed or () if one.layer == layer)


def described(package: Package) -> Package:
    """Give a package of an index as a lock may hold it; UpstreamError for what none can be.

    Hashes become names of files, and paths parts of addresses.
    """
    try:
        return msgspec.convert(msgspec.to_builtins(package), Package)
    except msgspec.ValidationError as error:
        raise UpstreamError(
            f"the index describes {package.name} {package.version} as nothing that can be: {error}",
            hint="the archive is broken or forged",
        ) from error


def seconds_of(date: str) -> int | None:
    """Give the seconds since 1970 that an index's date means; None for what is no date."""
    from email.utils import parsedate_to_datetime  # slow to import

    try:
        return max(0, int(parsedate_to_datetime(date[:_DATE]).timestamp()))
    except (ValueError, OverflowError):
        return None


def changed_keys(old: Asked, new: Asked) -> tuple[str, ...]:
    """Name the keys in which two askings differ, as dotted recipe keys."""
    changed = [
        f"base.{field}"
        for field in ("distro", "suite", "arch", "components")
        if getattr(old, field) != getattr(new, field)
    ]
    if old.tarball != new.tarball:
        changed.append("tarball")
    if [layer.recipe for layer in old.layers] != [layer.recipe for layer in new.layers]:
        return (*changed, "from")
    for field in ("install", "recommends", "remove", "repositories"):
        pairs = zip(old.layers, new.layers, strict=True)
        if any(getattr(before, field) != getattr(after, field) for before, after in pairs):
            changed.append("repository" if field == "repositories" else f"packages.{field}")
    return tuple(changed)
