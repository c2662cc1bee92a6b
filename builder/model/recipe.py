"""Recipes: what a person asks for, as TOML on disk and as frozen values here."""

from enum import StrEnum
from typing import Annotated

import msgspec

from builder.model.value import Value

Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9.-]{0,62}$")]
"""A template's name: lower case letters, digits, dots and dashes, at most 63."""

PackageName = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9+.-]+$")]
"""Debian Policy 5.6.1."""

AccountName = Annotated[str, msgspec.Meta(pattern=r"^[a-z_][a-z0-9_-]{0,31}$")]
"""useradd(8): what Debian's NAME_REGEX takes."""

UnitName = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[A-Za-z0-9:_.\\@-]+\.(service|socket|target|timer|path|mount|device|swap)$"
    ),
]
"""systemd.unit(5), with its suffix."""

RelativePath = Annotated[str, msgspec.Meta(pattern=r"^(?!/)(?!(.*/)?\.\.(/|$)).+$")]
"""A path below the recipe's folder, with no `..` in it."""


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

    name: Name
    """The name that `oven run NAME` takes."""
    summary: str = ""
    """One line for lists and catalogs."""


class Base(Value, frozen=True, kw_only=True):
    """Which operating system to start from."""

    distro: str
    """The distribution: `debian`."""
    suite: str
    """The release by its code name, such as `bookworm`."""
    arch: tuple[Arch, ...] = (Arch.AMD64,)
    """The architectures that this recipe can be built for; the host's is taken by default."""
    components: tuple[str, ...] = ("main",)
    """The archive's components, such as `main` and `contrib`."""


class Packages(Value, frozen=True, kw_only=True):
    """What to install, by the distribution's package names."""

    install: tuple[PackageName, ...] = ()
    """Packages to install with all that they depend on."""
    recommends: bool = False
    """Whether packages that are only recommended are installed too."""


class User(Value, frozen=True, kw_only=True):
    """An account in the template; it has no password until one is set in a container."""

    name: AccountName
    """The login name."""
    uid: Annotated[int, msgspec.Meta(ge=1, le=59999)] | None = None
    """The numeric id; the next free one by default."""
    groups: tuple[AccountName, ...] = ()
    """Further groups, which must exist once the packages are installed."""
    shell: str = "/bin/bash"
    """The login shell, as an absolute path."""
    home: str | None = None
    """The home folder; `/home/NAME` by default."""
    system: bool = False
    """Whether this is a system account, without a home folder of its own."""
    gecos: str = ""
    """The full name or purpose."""
    ssh_keys: tuple[str, ...] = ()
    """Lines for `~/.ssh/authorized_keys`."""


class Services(Value, frozen=True, kw_only=True):
    """Which systemd units start, and which never may."""

    enable: tuple[UnitName, ...] = ()
    """Units to enable, as `systemctl enable` does."""
    disable: tuple[UnitName, ...] = ()
    """Units to disable."""
    mask: tuple[UnitName, ...] = ()
    """Units to mask, so that nothing can start them."""


class System(Value, frozen=True, kw_only=True):
    """Settings of the system as a whole."""

    locale: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_.@-]+$")] = "C.UTF-8"
    """The default of LANG; locales other than `C.UTF-8` are generated (needs `locales`)."""
    timezone: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*$")] = (
        "Etc/UTC"
    )
    """The time zone by its tz database name."""


class Script(Value, frozen=True, kw_only=True):
    """A program of the recipe's, run inside the tree without network, after the overlay."""

    path: RelativePath
    """The file, below the recipe's folder; it needs a `#!` line."""


class Parameter(Value, frozen=True, kw_only=True):
    """A value that the overlay's templates may use as `parameters.NAME`."""

    default: str | int | bool
    """The value unless another one is set."""
    summary: str = ""
    """What it is for."""


class Port(Value, frozen=True, kw_only=True):
    """A port on which the appliance serves."""

    port: Annotated[int, msgspec.Meta(ge=1, le=65535)]
    """The port inside the container."""
    protocol: Annotated[str, msgspec.Meta(pattern=r"^(tcp|udp)$")] = "tcp"
    """`tcp` or `udp`."""
    summary: str = ""
    """What is served there, such as `HTTP`."""


ParameterName = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_]*$")]


class Recipe(Value, frozen=True, kw_only=True):
    """An OS template: a base and what is added to it.

    Exactly one of `base` and `from` must be there: an OS template names a base, an appliance names
    the recipe that it stands on.
    """

    template: Template
    base: Base | None = None
    from_: str | None = msgspec.field(name="from", default=None)
    """The recipe that this one builds on, by name."""
    packages: Packages = Packages()
    user: tuple[User, ...] = ()
    services: Services = Services()
    system: System | None = None
    script: tuple[Script, ...] = ()
    parameters: dict[ParameterName, Parameter] = {}
    port: tuple[Port, ...] = ()
