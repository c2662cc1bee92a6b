"""Noise: what changes in every container by itself, and is no work of an administrator."""

import re
from functools import cache

import msgspec

from builder.distros.package_manager import PackageManager


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


def ignored_paths(manager: PackageManager) -> tuple[str, ...]:
    """Give the patterns of all of those in a tree, those of its package manager among them."""
    return _PATHS + tuple(row.path for row in manager.own if row.how == "ignored")


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
