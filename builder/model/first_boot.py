"""First-boot data: what is written into one container before it first starts."""

import binascii
import re
from typing import Annotated

import msgspec

from builder.model.errors import RecipeError
from builder.model.names import AbsolutePath, AccountName
from builder.model.value import Value

# All of it may be secret: no message quotes a value, and none shows a line that has one.

_HASH = re.compile(r"\$(y|gy|7|2[aby]|6|5|sha1)\$[./A-Za-z0-9$=,-]{8,511}")
"""crypt(5), without what is broken: DES, MD5 and NT."""
_TYPES = (
    "ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(?:256|384|521)"
    "|sk-ssh-ed25519@openssh\\.com|sk-ecdsa-sha2-nistp256@openssh\\.com"
)
_KEY = re.compile(
    r'(?:(?:[^\s"]|"(?:\\.|[^"\\])*")+[ \t]+)?'
    rf"(?P<type>{_TYPES})[ \t]+(?P<blob>[A-Za-z0-9+/]+={{0,2}})(?:[ \t]+[^\x00-\x1f\x7f]*)?"
)
"""sshd(8), "AUTHORIZED_KEYS FILE FORMAT": options, type, base64, comment."""

LARGEST = 1 << 20
"""Bytes of a file at most; all of it is kept until the first start."""

HostName = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?\Z",
        max_length=64,
        title="a host name",
        description="letters, digits, `-` and dots, at most 64",
    ),
]
Zone = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*\Z",
        title="a time zone",
        description="by its tz database name, such as `Europe/Amsterdam`",
    ),
]
Locale = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[A-Za-z0-9_.@-]+\Z",
        title="a locale name",
        description="such as `C.UTF-8` or `nl_NL.UTF-8`",
    ),
]
Mode = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[0-7]{4}\Z",
        title="file permissions",
        description='four octal digits, such as "0644"',
    ),
]


class Root(Value, frozen=True, kw_only=True):
    """How root may log in."""

    password_hash: str | None = None
    """As crypt(5) has it; `mkpasswd` and `openssl passwd -6` make one."""
    ssh_keys: tuple[str, ...] = ()
    """Lines for `authorized_keys`."""


class Account(Root, frozen=True, kw_only=True):
    """A user who is made, or where there is one of that name, changed."""

    name: AccountName
    uid: Annotated[int, msgspec.Meta(ge=1, le=59999)] | None = None
    """The next free one from 1000 on by default."""
    groups: tuple[AccountName, ...] = ()
    """Further groups, which must exist."""
    shell: AbsolutePath | None = None
    """`/bin/bash` by default, where the container has it."""


class File(Value, frozen=True, kw_only=True):
    """A file that is root's."""

    path: AbsolutePath
    content: str | None = None
    """Text, as it is; exactly one of this and the next two must be there."""
    source: str | None = None
    """A file of the host, seen from the folder of the file that says this."""
    data: bytes | None = None
    """Bytes, in base64."""
    mode: Mode = "0644"


class FirstBoot(Value, frozen=True, kw_only=True):
    """What one container gets before it first starts."""

    hostname: HostName | None = None
    timezone: Zone | None = None
    locale: Locale | None = None
    root: Root = Root()
    user: tuple[Account, ...] = ()
    file: tuple[File, ...] = ()


def check_hash(value: str) -> str:
    """Refuse what is no hash of a password."""
    if not _HASH.fullmatch(value):
        raise RecipeError(
            "this is not the hash of a password as crypt(5) has it",
            hint="`mkpasswd` or `openssl passwd -6` makes one; it begins with `$y$` or `$6$`",
        )
    return value


def check_key(line: str) -> str:
    """Refuse what is no line of `authorized_keys`; nothing runs for this."""
    if "PRIVATE KEY" in line:
        raise RecipeError(
            "this is a private key", hint="give the public one, whose file ends in `.pub`"
        )
    found = _KEY.fullmatch(line)
    if found is None or not _is_blob(found["blob"], found["type"]):
        raise RecipeError(
            "this is no public key of ssh", hint="it reads `ssh-ed25519 AAAA… COMMENT`"
        )
    return line


def _is_blob(text: str, kind: str) -> bool:
    """Tell whether a key's bytes begin with its type, as RFC 4253 (6.6) has it."""
    try:
        data = binascii.a2b_base64(text, strict_mode=True)
    except binascii.Error:
        return False
    name = kind.encode()
    return data.startswith(len(name).to_bytes(4, "big") + name) and len(data) > len(name) + 20
