"""Settings: what this machine and this user want, kept out of recipes and of what they make."""

from typing import Annotated

import msgspec

from builder.model import amounts
from builder.model.errors import RecipeError
from builder.model.names import AbsolutePath
from builder.model.toml.source import Source
from builder.model.value import Value

Url = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^(https?://[^\s/]+(/[^\s]*)?|file:///[^\s]*)\Z",
        title="an address of an archive",
        description="`http://…`, `https://…` or `file:///…`",
    ),
]
"""Where an archive can be fetched from: the folder that holds `dists/`."""

Proxy = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^https?://[^\s/]+/?\Z",
        title="an address of a proxy",
        description="`http://host:port`",
    ),
]
"""An HTTP proxy."""

ArchiveName = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[a-z0-9][a-z0-9-]*\Z",
        title="an archive name",
        description="such as `debian` or `debian-security`",
    ),
]
"""How a distribution calls one of its archives."""


Size = Annotated[
    str,
    msgspec.Meta(pattern=amounts.SIZE, title="a size", description=amounts.SIZE_WORDS),
]
"""How much room something may take."""


class Archive(Value, frozen=True, kw_only=True):
    """Where one of a distribution's archives is found, and which keys sign it."""

    mirrors: tuple[Url, ...] = ()
    """Mirrors, the first one that answers being used; by default those of the host's apt."""
    keyring: AbsolutePath | None = None
    """An OpenPGP keyring file that replaces the distribution's own."""


class Network(Value, frozen=True, kw_only=True):
    """The network that containers are in."""

    subnet: str | None = None
    """A private IPv4 network such as `10.86.0.0/24`; a free one is taken by default."""


class Cache(Value, frozen=True, kw_only=True):
    """What builds have remembered."""

    size: Size | None = None
    """At the end of a build that made something, the longest unused goes until no more is taken."""


class Settings(Value, frozen=True, kw_only=True):
    """What this machine and this user want; nothing in here changes the bytes of a template."""

    archive: dict[ArchiveName, Archive] = {}
    """One `[archive.NAME]` for each archive, such as `[archive.debian-security]`."""
    jobs: Annotated[int, msgspec.Meta(ge=1, le=1024)] | None = None
    """How many things are done at once; one for each processor by default."""
    proxy: Proxy | None = None
    """The HTTP proxy for downloads; by default the one in the environment."""
    network: Network = Network()
    """The network that containers are in."""
    cache: Cache = Cache()
    """What builds have remembered."""


def merged(older: Settings, newer: Settings) -> Settings:
    """Lay newer settings over older ones, key by key."""
    archives = dict(older.archive)
    for name, archive in newer.archive.items():
        before = archives.get(name, Archive())
        archives[name] = Archive(
            mirrors=archive.mirrors or before.mirrors, keyring=archive.keyring or before.keyring
        )
    return Settings(
        archive=archives,
        jobs=newer.jobs or older.jobs,
        proxy=newer.proxy or older.proxy,
        network=Network(subnet=newer.network.subnet or older.network.subnet),
        cache=Cache(size=newer.cache.size or older.cache.size),
    )


def check(settings: Settings, source: Source) -> None:
    """Hold settings against what their types cannot say; raises RecipeError."""
    if settings.network.subnet is None:
        return
    # Imported here: most commands have no settings file, and this module is slow to import.
    from ipaddress import IPv4Network

    at = source.value("network", "subnet")
    try:
        network = IPv4Network(settings.network.subnet)
    except ValueError as error:
        raise RecipeError(
            f"`{settings.network.subnet}` is not an IPv4 network",
            at=at,
            hint="write it as `10.86.0.0/24`, with zeros after the network's part",
        ) from error
    if not network.is_private or not 16 <= network.prefixlen <= 28:
        raise RecipeError(
            f"`{settings.network.subnet}` does not suit containers",
            at=at,
            hint="take a private network of /16 to /28, such as `10.86.0.0/24`",
        )
