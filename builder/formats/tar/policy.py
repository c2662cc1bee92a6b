"""What an entry of a template may be; bytes in, a verdict out, no disk."""

import re
from dataclasses import replace

from builder.formats.tar import acl, headers
from builder.formats.tar.headers import TarMember
from builder.model.value import Value

ALWAYS_FOLDERS = frozenset(b"dev etc proc run sys usr var".split())
"""A link of one of these names would lead astray whatever sets up a container."""

Parts = tuple[bytes, ...]
"""A path below the root of the tree; empty for the root itself."""

DEPTH = 200
"""Folders within folders; a tree that has more of them means harm."""

_PATH_MAX = 4096
_NAME_MAX = 255
_SIZELESS = (headers.LINK, headers.SYMLINK, headers.FOLDER, headers.FIFO)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


class ArchiveLimits(Value, frozen=True, kw_only=True):
    """How much an archive may hold before it is taken for an attack."""

    entries: int = 2_000_000
    size: int = 64 << 30
    """Bytes of all files as they are read, holes included; and of the archive decompressed."""


class RefusedError(Exception):
    """An entry could do harm; the text goes after the entry's name."""


def check(member: TarMember) -> Parts:
    """Give the path of an entry that may be unpacked; raises RefusedError for any other."""
    parts = parts_of(member.name)
    if member.kind in (headers.CHAR, headers.BLOCK_DEVICE):
        raise RefusedError("is a device node, and a container makes its own")
    if member.kind not in (headers.FILE, *_SIZELESS):
        raise RefusedError(f"is of the kind {member.kind!r}, which no template needs")
    if not parts and member.kind != headers.FOLDER:
        raise RefusedError("stands for the root, but is not a folder")
    if len(parts) == 1 and parts[0] in ALWAYS_FOLDERS and member.kind != headers.FOLDER:
        raise RefusedError("must be a folder in every template")
    if member.kind == headers.FILE and member.name.endswith(b"/"):
        raise RefusedError("is a file with the name of a folder")
    if member.kind in _SIZELESS and member.size:
        raise RefusedError("has data, though it is not a file")
    if not all(0 <= one <= headers.LAST_ID for one in (member.uid, member.gid)):
        raise RefusedError(f"has an owner that is not between 0 and {headers.LAST_ID}")
    if member.kind == headers.SYMLINK:
        _check_target(member.link)
    _check_xattrs(member)
    return parts


def tamed(member: TarMember, strip: int) -> TarMember | None:
    """Give an entry of a foreign root file system as a template may have it; None to leave it out.

    Left out are device nodes and labels, and the first `strip` folders of each name.
    """
    if member.kind in (headers.CHAR, headers.BLOCK_DEVICE):
        return None
    name, link = _stripped(member.name, strip), member.link
    if member.kind == headers.LINK:
        link = _stripped(link, strip) or b""
    if not name or (member.link and not link):
        return None
    xattrs = {key: value for key, value in member.xattrs.items() if headers.of_template(key)}
    return replace(member, name=name, link=link, xattrs=xattrs)


def _stripped(name: bytes, strip: int) -> bytes | None:
    """Leave out leading folders; None when nothing is left of the name."""
    if not strip:
        return name
    folder = name.endswith(b"/")
    parts = [part for part in name.split(b"/") if part not in (b"", b".")][strip:]
    if b".." in parts:
        return name  # let it be refused under its own name
    return b"./" + b"/".join(parts) + (b"/" if folder and parts else b"") if parts else None


def parts_of(name: bytes) -> Parts:
    """Take a name apart; raises RefusedError when it could lead out of the tree."""
    if not name:
        raise RefusedError("has an empty name")
    if name.startswith(b"/"):
        raise RefusedError("is an absolute path")
    if b"\0" in name:
        raise RefusedError("has a NUL in its name")
    parts = tuple(part for part in name.split(b"/") if part not in (b"", b"."))
    if b".." in parts:
        raise RefusedError("has `..` in its path")
    if len(name) >= _PATH_MAX or any(len(part) > _NAME_MAX for part in parts):
        raise RefusedError("has a name that is too long")
    if len(parts) > DEPTH:
        raise RefusedError(f"is in more than {DEPTH} folders")
    return parts


def shown(name: bytes) -> str:
    """Write a name so that it can do nothing to a terminal."""
    text = name.decode(errors="surrogateescape")
    text = text if len(text) <= 200 else text[:100] + "…" + text[-99:]
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]) & 0xFF:02x}", text)


def _check_target(link: bytes) -> None:
    if not link or b"\0" in link or len(link) >= _PATH_MAX:
        raise RefusedError("is a symbolic link to nothing that can be named")


def _check_xattrs(member: TarMember) -> None:
    for name, value in member.xattrs.items():
        if not headers.of_template(name):
            raise RefusedError(
                f"has the attribute `{shown(name.encode(errors='surrogateescape'))}`, "
                "and only `user.*`, file capabilities and access control lists are taken"
            )
        if len(value) > headers.ATTRIBUTE:
            raise RefusedError("has an attribute that is larger than any can be")
        if name in (acl.ACCESS, acl.DEFAULT) and not acl.is_list(value, last_id=headers.LAST_ID):
            raise RefusedError("has an access control list that cannot be")
        if name == acl.DEFAULT and member.kind != headers.FOLDER:
            raise RefusedError("has a default access control list, and is no folder")
        if name == headers.CAPABILITY and headers.plain_capability(value) is None:
            raise RefusedError("has a file capability that the kernel does not know")
        if member.kind not in (headers.FILE, headers.FOLDER):
            raise RefusedError("has attributes, which only files and folders can have")
