"""Health: what shows that an instance of an appliance works, as its author says it."""

from collections.abc import Mapping
from typing import Annotated, Literal, NamedTuple

import msgspec

from builder.model.names import Line, TimeSpan, UnitName
from builder.model.value import Value

Kind = Literal[
    "tcp", "tls", "http", "smtp", "imap", "lmtp", "dns", "pg", "mysql", "redis", "ldap",
    "unit", "disk", "file", "exec",
]  # fmt: skip
Level = Literal["live", "ready", "deep"]

LEVELS: tuple[Level, ...] = ("live", "ready", "deep")
"""Each of them goes farther than those before it."""

ProbeName = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[a-z0-9][a-z0-9-]{0,62}\Z",
        title="a probe's name",
        description="lower case letters, digits and dashes, at most 63",
    ),
]

PortNumber = Annotated[int, msgspec.Meta(ge=1, le=65535)]

FreeSpace = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^([0-9]{1,2}%|[1-9][0-9]{0,8}[KMGT])\Z",
        title="an amount of free space",
        description="such as `10%` or `500M`",
    ),
]


class HealthProbe(Value, frozen=True, kw_only=True):
    """Something that is asked of an instance, over and over, to see whether it works.

    Texts may say `{{ parameters.NAME }}`. [Check health](../how-to/check-health.md) tells what
    each `kind` takes.
    """

    name: ProbeName
    """What it is called."""
    kind: Kind
    """How it is asked."""
    level: Level = "ready"
    """`live`: it runs; `ready`: it serves, and starting waits for that; `deep`: all of it works."""
    timeout: TimeSpan = "5s"
    """How long an answer may take."""
    unit: UnitName | None = None
    """The unit that must be active, or of other kinds the one whose journal tells more."""
    port: PortNumber | Line | None = None
    """Where it is asked; by default where servers of the kind listen."""
    host: Line = ""
    """The address inside that is asked; by default the container's first, as clients have it, and
    without any the loopback's."""
    path: Line = ""
    """What is asked for of a web server, or an absolute path inside: of a file, or of a folder on
    the disk in question. `/` by default, where that makes sense."""
    status: Annotated[int, msgspec.Meta(ge=100, le=599)] | None = None
    """What a web server has to answer; by default anything from 200 to 399."""
    contains: Line = ""
    """Text that must be in the first MiB of what is answered, printed, or in the file."""
    tls: bool = False
    """Whether TLS is spoken from the first byte on."""
    starttls: bool = False
    """Whether a mail server is asked to go over to TLS."""
    names: tuple[Line, ...] = ()
    """Names that its certificate must have; the first is also what is asked for."""
    days: Annotated[int, msgspec.Meta(ge=0, le=3650)] = 0
    """How many days a certificate must be valid still."""
    query: Line = ""
    """The name that a name server must know."""
    record: Literal["A", "AAAA", "CNAME", "MX", "NS", "PTR", "SOA", "SRV", "TXT"] = "A"
    """The type of what it must know of the name."""
    command: tuple[Line, ...] = ()
    """What is run inside, as root, and has to end with 0."""
    age: TimeSpan | None = None
    """How old a file may be."""
    free: FreeSpace | None = None
    """How much of a disk must be free."""

    @property
    def seconds(self) -> float:
        """How long an answer may take."""
        return seconds(self.timeout)


class Needs(NamedTuple):
    """Which keys a kind of probe takes, beside those that all take."""

    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    port: int | None = None
    """Where such servers listen."""


_TLS = ("names", "days")
_MAIL = ("port", "host", "tls", "starttls", *_TLS)

KINDS: Mapping[Kind, Needs] = {
    "tcp": Needs(("port",), ("host",)),
    "tls": Needs(optional=("port", "host", *_TLS), port=443),
    "http": Needs(optional=("port", "host", "path", "status", "contains", "tls", *_TLS), port=80),
    "smtp": Needs(optional=_MAIL, port=25),
    "imap": Needs(optional=_MAIL, port=143),
    "lmtp": Needs(optional=_MAIL, port=24),
    "dns": Needs(("query",), ("port", "host", "record"), port=53),
    "pg": Needs(optional=("port", "host"), port=5432),
    "mysql": Needs(optional=("port", "host"), port=3306),
    "redis": Needs(optional=("port", "host", "tls", *_TLS), port=6379),
    "ldap": Needs(optional=("port", "host", "tls", *_TLS), port=389),
    "unit": Needs(("unit",)),
    "disk": Needs(("free",), ("path",)),
    "file": Needs(("path",), ("age", "contains")),
    "exec": Needs(("command",), ("contains",)),
}
ALWAYS = ("name", "kind", "level", "timeout", "unit")
TLS_PORTS: Mapping[Kind, int] = {"http": 443, "smtp": 465, "imap": 993, "ldap": 636}
"""Where servers listen that speak TLS from the first byte on."""

IN_TREE: frozenset[Kind] = frozenset({"disk", "file"})
INSIDE: frozenset[Kind] = frozenset({"unit", "exec"})
"""What is asked by running something in the container; all else but files is asked by network."""


def seconds(span: str) -> float:
    """Read a span of time."""
    return float(span[:-1]) * {"s": 1, "m": 60, "h": 3600}[span[-1]]


def port_of(probe: HealthProbe) -> int:
    """Give the port that is asked; ValueError when what was rendered is none."""
    if probe.port is None:
        usual = TLS_PORTS.get(probe.kind) if probe.tls else None
        return usual or KINDS[probe.kind].port or 0
    port = int(probe.port)
    if not 1 <= port <= 65535:
        msg = f"`{port}` is no port"
        raise ValueError(msg)
    return port
