"""Recipes: what a person asks for, as TOML on disk and as frozen values here."""

from enum import StrEnum
from typing import Annotated, Final, Literal

import msgspec

from builder.model.backup import BackupSpec
from builder.model.health import HealthProbe
from builder.model.interface import Assertion, Parameter, SecretSpec
from builder.model.names import (
    ArchiveSuite,
    ArchiveUrl,
    AskedPackage,
    ComponentName,
    Fingerprint,
    IncludePath,
    Language,
    Line,
    Name,
    NameOfMany,
    PackageName,
    ParameterName,
    PartOfRecipe,
    ProfileName,
    RelativePath,
    RepositoryName,
    Sha256,
    TimeSpan,
    UnitName,
    Url,
)
from builder.model.recipe.content import (
    Allow,
    ContainerWish,
    Debconf,
    Fetch,
    FirstBootCommand,
    Group,
    Overlay,
    RecipeServices,
    Script,
    Secret,
    System,
    User,
)
from builder.model.rights import FileRights
from builder.model.value import Value
from builder.model.volume import VolumeSpec

TARBALL: Final = "tarball"
"""What `from` says when a recipe starts from somebody's root file system."""


class Arch(StrEnum):
    """Debian's names for machine architectures."""

    AMD64 = "amd64"
    ARM64 = "arm64"
    ARMHF = "armhf"
    I386 = "i386"
    PPC64EL = "ppc64el"
    RISCV64 = "riscv64"
    S390X = "s390x"


class Template(Value, frozen=True, kw_only=True):
    """How the result is called and described."""

    name: NameOfMany
    """The name that `oven run NAME` takes; with a matrix, `{suite}` and `{variant}` stand in it."""
    summary: Line = ""
    """One line for lists and catalogs."""


class Base(Value, frozen=True, kw_only=True):
    """Which operating system to start from."""

    distro: str
    """The distribution, such as `debian` or `fedora`."""
    suite: str
    """The release: by its code name, such as `bookworm`, or where it has none by its number."""
    arch: Annotated[tuple[Arch, ...], msgspec.Meta(min_length=1)] = (Arch.AMD64,)
    """The architectures that this recipe can be built for; the host's is taken by default."""
    components: Annotated[
        tuple[
            Annotated[
                str,
                msgspec.Meta(
                    pattern=r"^[a-z0-9][a-z0-9-]*\Z",
                    title="an archive component",
                    description="such as `main` or `non-free-firmware`",
                ),
            ],
            ...,
        ],
        msgspec.Meta(min_length=1),
    ] = ("main",)
    """The archive's components, such as `main` and `contrib`."""


class Tarball(Value, frozen=True, kw_only=True):
    """Somebody's root file system to start from: a tar file, compressed or not.

    Exactly one of `url` and `path` must be there.
    """

    url: Url | None = None
    """Where it is downloaded."""
    path: RelativePath | None = None
    """The file, below the recipe's folder."""
    sha256: Sha256
    """What it must be."""
    strip: Annotated[int, msgspec.Meta(ge=0, le=16)] = 0
    """How many leading folders of each name in it to leave out."""


class Packages(Value, frozen=True, kw_only=True):
    """What to install, by the distribution's package names."""

    install: tuple[AskedPackage, ...] = ()
    """Packages to install with all that they depend on: `nginx`, `nginx=1.22*`,
    `cockpit/bookworm-backports`, `libc6:i386`, `ssh-server^` for a task; for RPM, as dnf has it,
    with `@core` for a group."""
    remove: tuple[PackageName, ...] = ()
    """Packages that go, with their configuration, or that are not to come."""
    hold: tuple[PackageName, ...] = ()
    """Packages that apt leaves as they are in the template, until `apt-mark unhold`."""
    recommends: bool = False
    """Whether packages that are only recommended are installed too."""
    documentation: bool | None = None
    """Whether manuals and other documentation are unpacked, in the whole template; they are unless
    this recipe or one that it stands on says otherwise. Copyright files always are."""
    languages: tuple[Language, ...] | None = None
    """The languages whose translations are unpacked, in the whole template: `["de", "pt_BR"]`;
    all by default, `[]` for none."""


class Repository(Value, frozen=True, kw_only=True):
    """An archive of packages that is not the distribution's own, and who must have signed it.

    At least one of `key` and `fingerprint` must be there.
    """

    name: RepositoryName
    """How locks, settings and the template's own sources call it."""
    url: ArchiveUrl
    """Where it is; the user's settings may name mirrors in `[archive.NAME]`."""
    suites: tuple[ArchiveSuite, ...] = ()
    """What of it is used, such as `bookworm`; `./` for a flat archive. RPM's have none."""
    components: tuple[ComponentName, ...] = ()
    """The suites' components, such as `main`; flat archives and RPM's have none."""
    key: RelativePath | None = None
    """The file of OpenPGP keys that may sign it, below the recipe's folder; armored or not."""
    fingerprint: Fingerprint | None = None
    """The one key that may; without `key` it is looked for among the keys on this machine."""
    priority: Annotated[int, msgspec.Meta(ge=-10000, le=10000)] | None = None
    """How much it counts beside other archives: apt's pin priority, or dnf's priority."""
    architectures: tuple[Arch, ...] = ()
    """The architectures that it has; builds for others do without it. All by default."""
    keep: bool = True
    """Whether the template's own package manager uses it too."""


class Port(Value, frozen=True, kw_only=True):
    """A port on which the appliance serves."""

    port: Annotated[int, msgspec.Meta(ge=1, le=65535)]
    """The port inside the container."""
    protocol: Annotated[
        str,
        msgspec.Meta(
            pattern=r"^(tcp|udp)\Z", title="a protocol", description="one of `tcp` and `udp`"
        ),
    ] = "tcp"
    """`tcp` or `udp`."""
    summary: Line = ""
    """What is served there, such as `HTTP`."""


class Probe(Value, frozen=True, kw_only=True):
    """How the template is tried once it is built: it is booted, and shut down.

    What is not said is as in the recipe that this one stands on; `may-fail` adds to that one's.
    """

    network: bool | None = None
    """Whether it has a network, as `oven run` gives one; by default it has none."""
    timeout: TimeSpan | None = None
    """How long it may take to be up, and as long again to go down; `2m` by default."""
    may_fail: tuple[UnitName, ...] = ()
    """Units of systemd that may fail, since they need what only the real place has."""
    skip: Line | None = None
    """Why it cannot be tried on the machine that builds it; then it is not, and that is said."""


class Matrix(Value, frozen=True, kw_only=True):
    """Many recipes in one file: one for each suite and variant, each for its architectures.

    `template.name` says `{suite}` and `{variant}` where the recipes' names differ.
    """

    suite: tuple[str, ...] = ()
    """Suites, in place of `base.suite`."""
    arch: tuple[Arch, ...] = ()
    """Architectures, in place of `base.arch`."""
    variant: tuple[ProfileName, ...] = ()
    """Profiles, of which each recipe has one."""
    exclude: tuple[dict[Literal["suite", "arch", "variant"], str], ...] = ()
    """What is left out, by any of the three: `{ suite = "trixie", variant = "full" }`."""


class Recipe(Value, frozen=True, kw_only=True):
    """An OS template: a base and what is added to it.

    Exactly one of `base` and `from` must be there: an OS template names a base, others the recipe
    that they stand on. With `from = "tarball"` there may be both.
    """

    template: Template
    """How the result is called and described."""
    base: Base | None = None
    """Which operating system to start from; an appliance says `from` instead. With a tarball, which
    one that is, so that packages can be installed on it."""
    from_: Name | None = msgspec.field(name="from", default=None)
    """The recipe that this one stands on, by name; `tarball` for one from elsewhere."""
    tarball: dict[Arch, Tarball] = {}
    """With `from = "tarball"`: the file for each architecture, one `[tarball.ARCH]` each."""
    packages: Packages = Packages()
    """What to install."""
    debconf: Debconf = Debconf()
    """Answers to what Debian's packages ask."""
    group: tuple[Group, ...] = ()
    """Groups to add, one `[[group]]` each."""
    repository: tuple[Repository, ...] = ()
    """Archives that are not the distribution's own, one `[[repository]]` each."""
    user: tuple[User, ...] = ()
    """Accounts to add, one `[[user]]` each."""
    services: RecipeServices = RecipeServices()
    """Which systemd units start, and which never may."""
    system: System | None = None
    """Locale and time zone; an appliance keeps those of its base by default."""
    fetch: tuple[Fetch, ...] = ()
    """Files from elsewhere, one `[[fetch]]` each."""
    overlay: Overlay = Overlay()
    """How the recipe's files get into the tree."""
    file: tuple[FileRights, ...] = ()
    """Owners and permissions of files in the tree, one `[[file]]` each."""
    secret: tuple[Secret, ...] = ()
    """What scripts need and templates must not have, one `[[secret]]` each."""
    script: tuple[Script, ...] = ()
    """Programs to run inside the tree, one `[[script]]` each, in this order."""
    first_boot: tuple[FirstBootCommand, ...] = ()
    """What containers do when they first start, one `[[first-boot]]` each, in this order."""
    allow: tuple[Allow, ...] = ()
    """What looks like a secret and may be in the template, one `[[allow]]` each."""
    parameters: dict[ParameterName, Parameter] = {}
    """What an instance may be asked, one `[parameters.NAME]` each: templates see the answers."""
    secrets: dict[ParameterName, SecretSpec] = {}
    """Secrets that are made for each instance, one `[secrets.NAME]` each."""
    assert_: tuple[Assertion, ...] = msgspec.field(name="assert", default=())
    """What must hold for the answers together, one `[[assert]]` each."""
    health: tuple[HealthProbe, ...] = ()
    """What shows that an instance works, one `[[health]]` each."""
    volume: tuple[VolumeSpec, ...] = ()
    """Folders that outlive an instance's container, one `[[volume]]` each."""
    backup: BackupSpec = BackupSpec()
    """How these are backed up."""
    port: tuple[Port, ...] = ()
    """Ports on which the appliance serves, one `[[port]]` each."""
    container: ContainerWish = ContainerWish()
    """What its containers ask for."""
    probe: Probe = Probe()
    """How the template is tried once it is built."""
    include: tuple[IncludePath, ...] = ()
    """Files with parts of recipes that this one is made of, relative to its own."""
    profiles: tuple[ProfileName, ...] = ()
    """Profiles that are always on."""
    profile: dict[ProfileName, PartOfRecipe] = {}
    """Parts of a recipe for when they are wanted, one `[profile.NAME]` each."""
    matrix: Matrix | None = None
    """Many recipes in one file."""
