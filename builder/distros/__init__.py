"""Distributions: what Oven must know to turn an asking into a lock, and a lock into a tree."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from builder.host.programs import Runner
from builder.model.errors import RecipeError
from builder.model.lock import Asked, Lock, Package
from builder.model.value import Value

if TYPE_CHECKING:
    from builder.distros.buildroot import Kitchen
    from builder.distros.keys import Keys
    from builder.store import Store


@dataclass(frozen=True, slots=True)
class DistroRow:
    """Where a distribution is; it is imported when a command needs it, and not before."""

    module: str
    kind: str
    """The class in it, which is made without arguments."""
    suites: tuple[str, ...]
    """What `base.suite` may say."""


TABLE: Mapping[str, DistroRow] = {
    "almalinux": DistroRow("builder.distros.rpm.almalinux", "AlmaLinux", ("9", "10")),
    "centos-stream": DistroRow("builder.distros.rpm.centos_stream", "CentosStream", ("9", "10")),
    "debian": DistroRow(
        "builder.distros.debian.distribution",
        "Debian",
        ("bullseye", "bookworm", "trixie", "forky", "sid"),
    ),
    "devuan": DistroRow("builder.distros.devuan", "Devuan", ("daedalus", "excalibur", "ceres")),
    "fedora": DistroRow("builder.distros.rpm.fedora", "Fedora", ("41", "42", "43", "44")),
    "rockylinux": DistroRow("builder.distros.rpm.rockylinux", "RockyLinux", ("9", "10")),
    "ubuntu": DistroRow("builder.distros.ubuntu", "Ubuntu", ("jammy", "noble", "resolute")),
}
"""The distributions, by the names that `base.distro` takes."""

SUITES = {name: row.suites for name, row in TABLE.items()}
"""The suites of each distribution that recipes can be built for."""


class MirrorSettings(Value, frozen=True, kw_only=True):
    """What a user's settings say about where packages come from."""

    mirrors: dict[str, tuple[str, ...]] = {}
    """For an archive such as `debian` or `debian-security`, its mirrors in order of preference."""
    keyrings: dict[str, str] = {}
    """For a distribution, the file of keys that its archives must be signed with."""


@dataclass(frozen=True, slots=True)
class ArchiveSources:
    """Where packages come from on this machine; nothing of it gets into a lock."""

    mirrors: Mapping[str, tuple[str, ...]]
    """For every archive of the distribution its mirrors, in the order in which they are tried."""
    keyring: Path
    cache: Path
    """Where indexes may be kept, so that they are not downloaded twice."""
    programs: Mapping[str, tuple[tuple[str, ...], ...]] = field(default_factory=dict)
    """For each bootstrap driver, commands that tell the versions of those host programs whose
    version may show in a tree; others run inside it."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Text files of the base tree, by path: what its own package manager is told of mirrors. They
    must be the same on every machine."""
    arrived: Callable[[Package, "Store"], object] | None = None
    """What can be done with a package whose file the store has, while others are downloaded; any
    thread calls it, and what it makes goes into the store."""
    fresh: set[str] = field(default_factory=set)
    """Which indexes this command has brought up to date; who resolves several recipes shares it, so
    that the mirrors are asked once."""
    keys: "Keys | None" = None
    """What the package files themselves are signed with, where they are."""


class UnknownPackageError(RecipeError):
    """A recipe asks for a package that no index has; `name` is what it says."""

    def __init__(self, name: str, problem: str, *, hint: str | None = None) -> None:
        super().__init__(problem, hint=hint)
        self.name = name


class Distro(Protocol):
    """A distribution, or a family of them."""

    def sources(self, asked: Asked, settings: MirrorSettings, cache: Path) -> ArchiveSources:
        """Find the mirrors and the keys on this machine."""

    def resolve(
        self, asked: Asked, sources: ArchiveSources, run: Runner, keep: Lock | None = None
    ) -> Lock:
        """Decide which packages an asking means now, from signed indexes only.

        What an older lock `keep` has chosen stays, as far as the indexes still have it.
        """

    def batches(
        self, packages: tuple[Package, ...], store: "Store"
    ) -> tuple[tuple[Package, ...], ...]:
        """Cut what a layer installs into batches that are installed one after the other.

        The second one, if there is any, is plain: its packages may be added in any order, and some
        of them later than others, and the tree is the same.
        """

    def install(self, packages: tuple[Package, ...], kitchen: "Kitchen") -> None:
        """Install packages whose files the store has, and nothing else, on `kitchen.base`.

        Without a base they become `kitchen.tree`; with one, what comes over it `kitchen.upper`.
        """


def distro(name: str) -> Distro:
    """Give a distribution by its name in recipes; raises RecipeError for an unknown one."""
    if name not in TABLE:
        raise RecipeError(
            f"unknown distribution `{name}`", hint=f"there is: {', '.join(sorted(TABLE))}"
        )
    row = TABLE[name]
    made: Distro = getattr(import_module(row.module), row.kind)()
    return made


def fitting(keep: Lock | None, asked: Asked) -> Lock | None:
    """Drop a lock that was made for something else."""
    if keep is None:
        return None
    fields = ("distro", "suite", "arch", "components")
    same = all(getattr(keep.asked, field) == getattr(asked, field) for field in fields)
    return keep if same else None
