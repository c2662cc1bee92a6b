"""Locks: exactly which bytes a recipe means."""

from typing import Annotated, Literal

import msgspec

from builder.model.recipe import Arch
from builder.model.value import Digest, Value

Sha256 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]

Layer = Literal["base", "template", "appliance"]
"""Who asked for a package: the distribution's minimum, the OS recipe, or the appliance on it."""


class Asked(Value, frozen=True, kw_only=True):
    """The part of a recipe, and of what it stands on, that decides which packages are locked."""

    distro: str
    suite: str
    arch: Arch
    components: tuple[str, ...]
    template_install: tuple[str, ...]
    template_recommends: bool
    appliance_install: tuple[str, ...] = ()
    appliance_recommends: bool = False


class Release(Value, frozen=True, kw_only=True):
    """A signed index that packages were taken from."""

    archive: str
    """Which of the distribution's archives: `debian` or `debian-security`."""
    suite: str
    """The suite's folder below `dists/`, such as `bookworm-security`."""
    sha256: Sha256
    """Of the InRelease file, signature included."""
    date: str
    """The index's own `Date:` field (RFC 2822)."""
    signed_by: tuple[str, ...]
    """Fingerprints of the keys whose signatures were found good."""


class Package(Value, frozen=True, kw_only=True):
    """One package file."""

    name: str
    version: str
    arch: str
    """The package's own architecture: the recipe's, or `all`."""
    size: Annotated[int, msgspec.Meta(ge=1)]
    """Bytes."""
    sha256: Sha256
    archive: str
    """Which of the distribution's archives it is in."""
    path: Annotated[str, msgspec.Meta(pattern=r"^(?!/)(?!(.*/)?\.\.(/|$)).+\Z")]
    """Below the archive's root: `pool/main/b/bash/bash_5.2.15-2_amd64.deb`."""
    layer: Layer
    requested: bool = False
    """Whether somebody asked for it by name; the others are dependencies."""


class Lock(Value, frozen=True, kw_only=True):
    """Everything that a build may use."""

    version: Literal[1] = 1
    recipe: Digest
    """Of `asked`."""
    asked: Asked
    epoch: int
    """Seconds since 1970 that no file time in the template exceeds: the newest Release's date."""
    releases: tuple[Release, ...]
    packages: tuple[Package, ...]
    """Sorted by name."""


def changed_keys(old: Asked, new: Asked) -> tuple[str, ...]:
    """Name the keys in which two askings differ, as dotted recipe keys."""
    names = {
        "distro": "base.distro",
        "suite": "base.suite",
        "arch": "base.arch",
        "components": "base.components",
        "template_install": "packages.install",
        "template_recommends": "packages.recommends",
        "appliance_install": "packages.install",
        "appliance_recommends": "packages.recommends",
    }
    changed = [
        label for field, label in names.items() if getattr(old, field) != getattr(new, field)
    ]
    return tuple(dict.fromkeys(changed))
