"""Distributions: what Oven must know to turn an asking into a lock, and a lock into a tree."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from builder.host.programs import Runner
from builder.model.errors import HostError, OvenError, RecipeError, Span, TrustError
from builder.model.lock import Asked, AskedLayer, Lock, Package
from builder.model.recipe import Repository
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
    packages: Literal["deb", "rpm"] = "deb"
    """What its archives hold."""


TABLE: Mapping[str, DistroRow] = {
    "almalinux": DistroRow("builder.distros.rpm.almalinux", "AlmaLinux", ("9", "10"), "rpm"),
    "centos-stream": DistroRow(
        "builder.distros.rpm.centos_stream", "CentosStream", ("9", "10"), "rpm"
    ),
    "debian": DistroRow(
        "builder.distros.debian.distribution",
        "Debian",
        ("bullseye", "bookworm", "trixie", "forky", "sid"),
    ),
    "devuan": DistroRow("builder.distros.devuan", "Devuan", ("daedalus", "excalibur", "ceres")),
    "fedora": DistroRow("builder.distros.rpm.fedora", "Fedora", ("41", "42", "43", "44"), "rpm"),
    "rockylinux": DistroRow("builder.distros.rpm.rockylinux", "RockyLinux", ("9", "10"), "rpm"),
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
class RepositorySource:
    """What else must be known of a repository that an asking names."""

    keys: bytes
    """Those that may sign it, one after the other, not armored."""
    url_at: Span | None = None
    """Where the recipe says its address, for errors."""
    key_at: Span | None = None
    """Where it says whose signature it must have."""

    @contextmanager
    def told(self) -> Iterator[None]:
        """Have an error about the repository say where the recipe asks for it."""
        try:
            yield
        except OvenError as error:
            if error.at is None and not isinstance(error, HostError):
                error.at = self.key_at if isinstance(error, TrustError) else self.url_at
            raise


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
    repositories: Mapping[str, RepositorySource] = field(default_factory=dict)
    """What is known of each repository that the asking names."""
    keys: "Keys | None" = None
    """What the package files themselves are signed with, where they are."""
    ground: Path | None = None
    """The tree of a tarball that packages are to come to; without one, they begin with nothing."""


@dataclass(frozen=True, slots=True)
class TemplateRepository:
    """A repository that a template's own package manager shall use."""

    repository: Repository
    keys: bytes
    """Not armored."""
    known_as: tuple[str, ...] = ()
    """What a lock tells of its suites, for pins."""


def with_repositories(
    sources: ArchiveSources,
    asked: Asked,
    settings: MirrorSettings,
    repositories: Mapping[str, RepositorySource],
) -> ArchiveSources:
    """Add the repositories that an asking names, each at its own address or a user's mirrors."""
    mirrors = dict(sources.mirrors)
    for one in asked.repositories:
        if one.name in sources.mirrors or one.name in TABLE:
            raise RecipeError(
                f"`{one.name}` is the distribution's own archive",
                at=repositories[one.name].url_at,
                hint="give the repository another name",
            )
        urls = settings.mirrors.get(one.name) or (one.url,)
        mirrors[one.name] = tuple(url.rstrip("/") for url in urls)
    return replace(sources, mirrors=mirrors, repositories=repositories)


class AskedPackageError(RecipeError):
    """What a recipe asks of packages cannot be had; `words` are those of it that say so."""

    def __init__(self, problem: str, words: tuple[str, ...], *, hint: str | None = None) -> None:
        super().__init__(problem, hint=hint)
        self.words = words


class UnknownPackageError(AskedPackageError):
    """A recipe asks for a package that no index has; `name` is what it says."""

    def __init__(self, name: str, problem: str, *, hint: str | None = None) -> None:
        super().__init__(problem, (name,), hint=hint)
        self.name = name


class GroundError(RecipeError):
    """Nothing can be installed on what a tarball holds; `where` in the recipe says what it is."""

    def __init__(self, problem: str, where: tuple[str, ...], *, hint: str | None = None) -> None:
        super().__init__(problem, hint=hint)
        self.where = where


class Distro(Protocol):
    """A distribution, or a family of them."""

    def sources(self, asked: Asked, settings: MirrorSettings, cache: Path) -> ArchiveSources:
        """Find the mirrors and the keys on this machine; those of repositories are added later."""

    def template_files(self, repository: TemplateRepository) -> Mapping[str, bytes]:
        """Write what a tree's own package manager has to know of a repository, by path."""

    def pocket_files(self, asked: Asked, layer: AskedLayer) -> Mapping[str, bytes]:
        """Write what a tree's own package manager has to know of a layer's pockets, by path."""

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
    fields = ("distro", "suite", "arch", "components", "tarball")
    same = all(getattr(keep.asked, field) == getattr(asked, field) for field in fields)
    return keep if same else None
