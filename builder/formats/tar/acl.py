"""Access control lists as the kernel gives and takes them (acl(5), linux/posix_acl_xattr.h)."""

import re
import struct

ACCESS, DEFAULT = "system.posix_acl_access", "system.posix_acl_default"
"""The extended attributes that they are; only a folder can have the second."""

_HEADER, _ENTRY = struct.Struct("<I"), struct.Struct("<HHI")
_VERSION = 2
_NAMES = {0x01: "u", 0x02: "U", 0x04: "g", 0x08: "G", 0x10: "m", 0x20: "o"}
_ORDER = re.compile(r"u(U*)g(G*)(m?)o")
"""The owner, other users, the group, other groups, the mask, everybody else."""


def is_list(value: bytes, *, last_id: int) -> bool:
    """Tell whether the kernel takes a list, with no user or group above `last_id` in it."""
    if len(value) < _HEADER.size or (len(value) - _HEADER.size) % _ENTRY.size:
        return False
    entries = list(_ENTRY.iter_unpack(value[_HEADER.size :]))
    tags = "".join(_NAMES.get(tag, "?") for tag, _, _ in entries)
    found = _ORDER.fullmatch(tags)
    return (
        _HEADER.unpack_from(value) == (_VERSION,)
        and found is not None
        and bool(found[3] or not (found[1] or found[2]))
        and all(rights <= 0o7 for _, rights, _ in entries)
        and all(_NAMES[tag] not in "UG" or who <= last_id for tag, _, who in entries)
    )
