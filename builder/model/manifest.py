"""Manifests: what a template is, written as its first entry and kept beside it."""

from typing import Literal

from builder.model.feature import Feature
from builder.model.interface import Interface
from builder.model.names import Line
from builder.model.recipe import Arch, Port, Tarball
from builder.model.value import Digest, Value

MANIFEST_PATH = "usr/share/oven/manifest.json"
"""Where a template carries its manifest, relative to its root; the first entry of its tarball."""


class InstalledPackage(Value, frozen=True, kw_only=True):
    """A package in the template."""

    name: str
    version: str
    arch: str


class BuiltParameter(Value, frozen=True, kw_only=True):
    """A parameter as templates say it that were made before there were interfaces."""

    default: str | int | bool
    summary: Line = ""


class Manifest(Value, frozen=True, kw_only=True):
    """What a template is and what it was made from; it holds no time but the epoch."""

    version: Literal[1] = 1
    name: str
    summary: str
    distro: str
    suite: str
    arch: Arch
    epoch: int
    """Seconds since 1970 that no file time exceeds."""
    recipe: Digest
    """Of the whole recipe value."""
    lock: Digest
    """Of the lock."""
    packages: tuple[InstalledPackage, ...]
    tarball: Tarball | None = None
    """Somebody's root file system that it was made from."""
    parameters: dict[str, BuiltParameter] = {}
    """Of an older template."""
    interface: Interface = Interface()
    """What its instances may be asked."""
    ports: tuple[Port, ...] = ()
    features: tuple[Feature, ...] = ()
    """What its containers ask for."""
    oven: str
    """The version of Oven that made it."""
