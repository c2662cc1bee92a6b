"""Leaks: secrets and identities in a tree that all its containers would share."""

import re
import stat
from collections.abc import Iterator
from typing import Literal

from builder.distros import identity
from builder.distros.traces import BUILDS_OWN, IDENTITY
from builder.host.trees.treeio import NOTHING, TreeIO
from builder.model.value import Value

FILE_LIMIT = 1 << 22
PRIVATE = ("etc", "home", "opt", "root", "srv", "usr/local", "var")
"""Where a secret made at build time can lie; the rest of /usr came, public, out of packages."""

_KEY = re.compile(
    rb"-----BEGIN PGP PRIVATE KEY BLOCK-----"
    rb"|PuTTY-User-Key-File-\d+: "
    rb"|AGE-SECRET-KEY-1[0-9A-Z]{58}"
    rb"|^PrivateKey[ \t]*=[ \t]*[A-Za-z0-9+/]{43}=[ \t]*$",  # wg(8)
    re.MULTILINE,
)
_ACCOUNTS = ("etc/shadow", "etc/gshadow")
_MACHINE_ID = "etc/machine-id"


class Leak(Value, frozen=True):
    """Something that must not be in a template."""

    kind: Literal["key", "identity", "password"]
    path: str
    what: str
    """What is wrong with it: `holds a private key`."""

    def __str__(self) -> str:
        return f"/{self.path} {self.what}"


def leaks(tree: TreeIO) -> list[Leak]:
    """Find every secret and identity in a tree: private keys, passwords, what names a machine."""
    known = list(dict.fromkeys(_identities(tree)))
    found = [leak for path in (*known, _MACHINE_ID, *_ACCOUNTS) for leak in leaks_at(tree, path)]
    others = (path for path in _private_files(tree) if path not in known)
    found += [_key(path) for path in others if _holds_key(tree, path)]
    return sorted(found, key=lambda leak: leak.path)


def leaks_at(tree: TreeIO, path: str) -> list[Leak]:
    """Find those that one path has."""
    if path in _ACCOUNTS:
        return list(_passwords(tree, path))
    if path == _MACHINE_ID:
        return list(_machine_id(tree))
    try:
        status = tree.lstat(path)
    except OSError as error:
        if error.errno in NOTHING:
            return []
        raise
    if not stat.S_ISREG(status.st_mode) or not status.st_size:
        return []
    if status.st_size <= FILE_LIMIT and _holds_key(tree, path):
        return [_key(path)]
    if path in _identities(tree):
        return [Leak("identity", path, "would be the same in all containers")]
    return []


def _key(path: str) -> Leak:
    return Leak("key", path, "holds a private key")


def _identities(tree: TreeIO) -> Iterator[str]:
    """Give what cleaning would have taken, had no overlay brought it."""
    for rule in IDENTITY:
        if rule not in BUILDS_OWN:
            for path in identity.matches(tree, rule.path):
                if identity.is_about(tree, rule, path):
                    yield path


def _private_files(tree: TreeIO) -> Iterator[str]:
    for top in PRIVATE:
        if tree.is_dir(top):
            for path, status in tree.walk(top):
                small = 0 < status.st_size <= FILE_LIMIT
                if stat.S_ISREG(status.st_mode) and small and not path.startswith("var/lib/dpkg/"):
                    yield path


def _holds_key(tree: TreeIO, path: str) -> bool:
    data = tree.read_bytes(path, FILE_LIMIT)
    if b"PRIVATE KEY-----" in data and b"-----BEGIN " in data:
        return True
    return _KEY.search(data) is not None


def _machine_id(tree: TreeIO) -> Iterator[Leak]:
    if tree.is_file(_MACHINE_ID):
        known = tree.read_bytes(_MACHINE_ID).strip()
        if known not in {b"", b"uninitialized"}:
            yield Leak("identity", _MACHINE_ID, "is not empty")


def _passwords(tree: TreeIO, path: str) -> Iterator[Leak]:
    if not tree.is_file(path):
        return
    for line in tree.read_bytes(path).decode(errors="replace").splitlines():
        account, _, rest = line.partition(":")
        password = rest.split(":")[0]
        # What comes after the `!` would be the password again; systemd has a word for none so far.
        if password.lstrip("!") not in {"", "*", "unprovisioned"}:
            yield Leak("password", path, f"has a password for `{account}`")
        elif password == "" and path == "etc/shadow":
            yield Leak("password", path, f"lets `{account}` log in without a password")
