"""What a recipe puts into a tree: packages' answers, accounts, files, services, scripts."""

from typing import Annotated, Literal

import msgspec

from builder.model.feature import Feature
from builder.model.interface import ServiceConfig
from builder.model.names import (
    AbsolutePath,
    AccountName,
    FileMode,
    Gecos,
    Line,
    Reason,
    RelativePath,
    SecretName,
    Sha256,
    TimeSpan,
    UnitName,
    UnitPart,
    Url,
)
from builder.model.value import Value

Selection = Annotated[
    str,
    msgspec.Meta(
        pattern=(
            r"^[a-z0-9][a-z0-9+.-]+[ \t]+[^\s]+[ \t]+"
            r"(boolean|select|multiselect|string|note|text)([ \t][^\x00-\x1f\x7f]*)?\Z"
        ),
        title="a line of debconf-set-selections",
        description=(
            "package, question, type and answer: `postfix postfix/main_mailer_type select No"
            " configuration`; none of type `password`, which every container would have"
        ),
    ),
]


class Debconf(Value, frozen=True, kw_only=True):
    """Answers to questions that packages ask, given before they are configured."""

    selections: tuple[Selection, ...] = ()
    """Lines as debconf-set-selections(1) takes them, for packages that this recipe installs."""


AccountId = Annotated[int, msgspec.Meta(ge=1, le=59999)]


class Group(Value, frozen=True, kw_only=True):
    """A group in the template; one that is there already stays as it is."""

    name: AccountName
    """What it is called."""
    gid: AccountId | None = None
    """The numeric id; the next free one by default."""
    system: bool = False
    """Whether a free id is one of the system's."""


class User(Value, frozen=True, kw_only=True):
    """An account in the template; it has no password until one is set in a container.

    What the overlay has in its home is its own.
    """

    name: AccountName
    """The login name."""
    existing: bool = False
    """Whether a package, the base or the recipe below has made it, such as `root` and `www-data`:
    then `groups`, `ssh-keys` and `shell` are added to it, and nothing else can be said."""
    uid: AccountId | None = None
    """The numeric id; the next free one by default."""
    group: AccountName | None = None
    """Its own group, which must exist; one of its name is made by default."""
    groups: tuple[AccountName, ...] = ()
    """Further groups, which must exist once the packages are installed and `[[group]]` are made."""
    shell: AbsolutePath | None = None
    """The login shell, as an absolute path; `/bin/bash` by default."""
    home: AbsolutePath | None = None
    """The home folder; `/home/NAME` by default."""
    system: bool = False
    """Whether this is a system account, without a home folder of its own."""
    gecos: Gecos = ""
    """The full name or purpose."""
    ssh_keys: tuple[Line, ...] = ()
    """Lines for `~/.ssh/authorized_keys`."""


class Services(Value, frozen=True, kw_only=True):
    """Which systemd units start, and which never may."""

    enable: tuple[UnitName, ...] = ()
    """Units to enable, as `systemctl enable` does."""
    disable: tuple[UnitName, ...] = ()
    """Units to disable."""
    mask: tuple[UnitName, ...] = ()
    """Units to mask, so that nothing can start them; they need not exist."""
    enable_for_users: tuple[UnitName, ...] = ()
    """User units to enable for every account, as `systemctl --global enable` does."""


class RecipeServices(Services, frozen=True, kw_only=True):
    """Which systemd units start, and how they hear of a new configuration."""

    config: dict[UnitName, ServiceConfig] = {}
    """How units hear of a new configuration, one `[services.config."UNIT"]` each."""

    def of_tree(self) -> Services:
        """Give what of it is done to a tree."""
        return Services(
            enable=self.enable,
            disable=self.disable,
            mask=self.mask,
            enable_for_users=self.enable_for_users,
        )


LocaleName = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[A-Za-z0-9_.@-]+\Z",
        title="a locale name",
        description="such as `C.UTF-8` or `nl_NL.UTF-8`",
    ),
]


class System(Value, frozen=True, kw_only=True):
    """Settings of the system as a whole."""

    locale: LocaleName = "C.UTF-8"
    """The default of LANG; locales other than `C.UTF-8` are generated (needs `locales`)."""
    locales: tuple[LocaleName, ...] = ()
    """Further locales to generate."""
    keyboard: (
        Annotated[
            str,
            msgspec.Meta(
                pattern=r"^[a-z]{2,10}\Z",
                title="a keyboard layout",
                description="by its XKB name, such as `de`",
            ),
        ]
        | None
    ) = None
    """The keyboard's layout by its XKB name; only consoles of machines have one."""
    target: UnitName | None = None
    """The target that systemd boots to, such as `multi-user.target`."""
    timezone: Annotated[
        str,
        msgspec.Meta(
            pattern=r"^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*\Z",
            title="a time zone",
            description="by its tz database name, such as `Europe/Amsterdam`",
        ),
    ] = "Etc/UTC"
    """The time zone by its tz database name."""


VariableName = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^(?!OVEN_)[A-Za-z_][A-Za-z0-9_]*\Z",
        title="a name of a variable",
        description="letters, digits and `_`, no digit first, and not Oven's own `OVEN_…`",
    ),
]


class Script(Value, frozen=True, kw_only=True):
    """A program of the recipe's, run inside the tree without network, after the overlay."""

    path: RelativePath
    """The file, below the recipe's folder; it needs a `#!` line."""
    args: tuple[Line, ...] = ()
    """What it is called with."""
    env: dict[VariableName, Line] = {}
    """Variables of its environment, besides those that every script has."""
    files: tuple[RelativePath, ...] = ()
    """Files and folders below the recipe's folder that it reads, beside it in `$OVEN_FILES`."""
    before_services: bool = False
    """Whether it runs before `[services]` are enabled, such as one that makes a unit."""


class Overlay(Value, frozen=True, kw_only=True):
    """How the recipe's files get into the tree, besides those of `overlay/`."""

    folders: tuple[RelativePath, ...] = ()
    """Further overlays: folders below the recipe's, each laid over those before. `{suite}` and
    `{arch}` stand for what is built, and such a folder need not be there."""
    verbatim: tuple[Line, ...] = ()
    """Files whose name ends in `.j2` and stays: patterns such as `usr/share/app/*.j2`."""
    ignore: tuple[Line, ...] = ()
    """Files that are no part of it: patterns such as `*.orig`."""
    modes: Literal["git", "disk"] = "git"
    """`git`: 0755 when executable and 0644 otherwise; `disk`: as they are on disk."""


class Fetch(Value, frozen=True, kw_only=True):
    """A file from elsewhere, put into the tree with the overlay."""

    url: Url | tuple[Url, ...]
    """Where it is downloaded; several are tried one after the other."""
    sha256: Sha256
    """What it must be."""
    path: AbsolutePath
    """Where it goes in the tree; with `extract`, the folder that its files go to."""
    mode: FileMode = "0644"
    """The file's permissions."""
    extract: bool = False
    """Whether it is a tar file whose files are wanted."""
    strip: Annotated[int, msgspec.Meta(ge=0, le=16)] = 0
    """With `extract`: how many leading folders of each name to leave out."""

    @property
    def urls(self) -> tuple[str, ...]:
        """Give all places, in the order in which they are tried."""
        return (self.url,) if isinstance(self.url, str) else self.url


class Secret(Value, frozen=True, kw_only=True):
    """Something that only scripts may see, and that stays out of the template."""

    name: SecretName
    """How `--secret NAME=FILE` and the file `/run/oven/secrets/NAME` call it."""
    summary: Line = ""
    """What it is for."""


class FirstBootCommand(Value, frozen=True, kw_only=True):
    """Something that each container does when it first starts, before its services do.

    It is a unit of systemd, `oven-first-boot-NAME.service`. When it fails, it runs again at the
    next start.
    """

    name: UnitPart
    """How its unit is called."""
    run: RelativePath | tuple[Line, ...]
    """A program below the recipe's folder, with a `#!` line; or an array, a command's words."""
    makes: tuple[AbsolutePath, ...] = ()
    """Secrets that it makes: no template has them, and it runs whenever one of them is missing."""
    timeout: TimeSpan = "5m"
    """How long it may take before it counts as failed."""
    after: tuple[UnitName, ...] = ()
    """Units that it needs, such as `network-online.target`; then it starts once these have, and
    not before all services."""
    before: tuple[UnitName, ...] = ()
    """With `after`: units that wait for it."""


class Allow(Value, frozen=True, kw_only=True):
    """Something that looks like a secret or an identity, and may be in the template."""

    path: AbsolutePath
    """The file, or a folder of such files."""
    reason: Reason
    """Why all containers may have the same: `a key of its tests`."""


class ContainerWish(Value, frozen=True, kw_only=True):
    """What containers of the template ask for beyond the usual. Whoever runs one grants it, by
    `--feature asked`."""

    features: tuple[Feature, ...] = ()
    """`tun`, `fuse`, `kmsg` and `nesting`."""
