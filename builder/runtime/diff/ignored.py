"""Noise: what changes in every container by itself, and is no work of an administrator."""

import re
from functools import cache

import msgspec


class Noise(msgspec.Struct, frozen=True):
    """Paths that are left out of a comparison; `*` is anything within a name, `**` all below."""

    path: str
    reason: str


NOISE: tuple[Noise, ...] = (
    Noise("dev/**", "made at each start"),
    Noise("proc/**", "a mount point"),
    Noise("sys/**", "a mount point"),
    Noise("run/**", "lives until the next stop only"),
    Noise("tmp/**", "for a short time"),
    Noise("var/tmp/**", "for a short time"),
    Noise("var/log/**", "logs"),
    Noise("var/cache/**", "made again when it is missed"),
    Noise("root/.cache/**", "made again when it is missed"),
    Noise("**/__pycache__", "made again when it is missed"),
    Noise("**/__pycache__/**", "made again when it is missed"),
    Noise("etc/ld.so.cache", "made by ldconfig of the libraries that are there"),
    Noise("var/lib/apt/lists/**", "what `apt-get update` fetched"),
    Noise("var/lib/apt/periodic/**", "when apt last did something"),
    Noise("var/lib/apt/daily_lock", "a lock"),
    Noise("var/lib/dpkg/*-old", "a backup"),
    Noise("var/lib/dpkg/lock*", "a lock"),
    Noise("var/lib/dpkg/triggers/Lock", "a lock"),
    Noise("var/lib/dpkg/triggers/Unincorp", "what dpkg has still to do"),
    Noise("var/lib/systemd/timers", "when timers last ran"),
    Noise("var/lib/systemd/timers/**", "when timers last ran"),
    Noise("var/lib/systemd/catalog/**", "made of the message catalogs that are there"),
    Noise("var/lib/systemd/random-seed", "the machine's own"),
    Noise("var/lib/systemd/credential.secret", "the machine's own"),
    Noise("var/lib/systemd/linger", "made at the first boot"),
    Noise("var/lib/systemd/pstore", "made at the first boot"),
    Noise("var/lib/systemd/coredump/**", "what crashed"),
    Noise("var/lib/systemd/ephemeral-trees", "made at the first boot"),
    Noise("var/lib/private", "made at the first boot"),
    Noise("var/lib/logrotate/**", "when logs were last rotated"),
    Noise("etc/machine-id", "the machine's own"),
    Noise("var/lib/dbus/machine-id", "the machine's own"),
    Noise("etc/ssh/ssh_host_*_key", "the machine's own"),
    Noise("etc/ssh/ssh_host_*_key.pub", "the machine's own"),
    Noise("etc/.updated", "when systemd last looked at /usr"),
    Noise("var/.updated", "when systemd last looked at /usr"),
    Noise("etc/.pwd.lock", "a lock"),
    Noise("etc/passwd-", "a backup"),
    Noise("etc/group-", "a backup"),
    Noise("etc/shadow-", "a backup"),
    Noise("etc/gshadow-", "a backup"),
    Noise("etc/subuid-", "a backup"),
    Noise("etc/subgid-", "a backup"),
    Noise("root/.*_history", "what somebody typed"),
    Noise("root/.lesshst", "what somebody looked for"),
    Noise("root/.viminfo", "what somebody edited"),
)


def is_noise(path: str) -> bool:
    """Tell whether a path, relative to the root, is one of those."""
    return matches(path, _PATHS)


def matches(path: str, patterns: tuple[str, ...]) -> bool:
    """Tell whether a path is one that some patterns of this kind mean."""
    return _compiled(patterns).fullmatch(path) is not None


_PATHS = tuple(noise.path for noise in NOISE)


@cache
def _compiled(patterns: tuple[str, ...]) -> re.Pattern[str]:
    """Make one expression of all; a container may have very many files to be looked at."""
    return re.compile("|".join(map(_expression, patterns)), re.DOTALL)


def _expression(path: str) -> str:
    """Turn a pattern into a regular expression; fnmatch's own `*` would cross a `/`."""
    parts = re.split(r"(\*\*/|\*\*|\*)", path)
    words = {"**/": "(?:.*/)?", "**": ".+", "*": "[^/]*"}
    return "".join(words.get(part) or re.escape(part) for part in parts)
