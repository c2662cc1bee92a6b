"""Known causes: what is never the same twice, for reasons that no recipe can mend."""

import fnmatch
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class KnownCause:
    """Paths that differ between any two builds, and why."""

    path: str
    """`*` is anything, slashes too."""
    why: str


CAUSES: tuple[KnownCause, ...] = (
    KnownCause(
        "var/lib/texmf/web2c/lua*.fmt",
        "LuaTeX's formats hold tables in an order that Lua draws by lot at each start",
    ),
    KnownCause(
        "var/lib/texmf/web2c/tex/*.fmt",
        "Knuth's TeX writes the time into its format; the others take the lock's",
    ),
    KnownCause(
        "var/lib/mysql/*", "MariaDB and MySQL write random ids and the time into tables and logs"
    ),
    KnownCause(
        "var/lib/ldap/*", "slapd gives each entry a random UUID, and the time when it was made"
    ),
    KnownCause(
        "etc/ldap/slapd.d/*", "slapd's settings are entries, with UUIDs and times of theirs"
    ),
    KnownCause(
        "var/lib/postgresql/*", "a cluster of PostgreSQL has a random identifier, and times"
    ),
)
"""What packages make when they are installed."""

CURE = (
    "no script of the recipe is to blame: have `[[first-boot]]` make it, or let the template differ"
    " there"
)
"""The hint where nothing else differs."""


def known_cause(path: str) -> str:
    """Say why a path differs, where that is known; nothing where it is not."""
    return next((one.why for one in CAUSES if fnmatch.fnmatchcase(path, one.path)), "")
