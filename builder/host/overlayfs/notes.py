"""Notes: what overlayfs writes into a layer to say what is hidden, gone or elsewhere.

It keeps them as extended attributes, and as device nodes with the number 0:0 in place of what was
deleted (Documentation/filesystems/overlayfs.rst). None of them is part of a tree.
"""

import contextlib
import functools
import os
import stat

from builder.host.kernel.namespaces import current

_TRUSTED, _OF_USER = "trusted.overlay.", "user.overlay."
OPAQUE = _TRUSTED + "opaque"
"""What a folder has that hides what is below it, where root of the host has mounted the layers."""
_YES = b"y"


@functools.cache
def prefix() -> str:
    """Give what the attributes begin with in which overlayfs keeps its notes, for this process.

    Root of a user namespace mounts with `userxattr`; to everybody else those are plain attributes.
    """
    return _OF_USER if current().unprivileged else _TRUSTED


def opaque() -> str:
    """Name the attribute of a folder that hides what is below it, for this process."""
    return prefix() + "opaque"


def is_note(attribute: str) -> bool:
    """Tell whether an attribute is a note, whoever has mounted the layers."""
    return attribute.startswith((_TRUSTED, _OF_USER))


def replaces(attributes: list[str]) -> bool:
    """Tell by a folder's attributes whether it hides what is below it, whoever mounted it."""
    return OPAQUE in attributes or _OF_USER + "opaque" in attributes


def is_moved(attributes: list[str]) -> bool:
    """Tell whether what a folder has lies elsewhere in the layers below."""
    return any(kind + "redirect" in attributes for kind in (_TRUSTED, _OF_USER))


def is_opaque(folder: bytes) -> bool:
    """Tell whether a folder hides what is below it, for this process."""
    with contextlib.suppress(OSError):
        return says_opaque(os.getxattr(folder, opaque(), follow_symlinks=False))
    return False


def says_opaque(value: bytes | None) -> bool:
    """Tell whether that is the value of the attribute of a folder that hides what is below it."""
    return value == _YES


def make_opaque(folder: bytes) -> None:
    """Have a folder hide what is below it."""
    os.setxattr(folder, opaque(), _YES)


def strip(path: bytes) -> None:
    """Remove all notes from a file."""
    for name in os.listxattr(path, follow_symlinks=False):
        if is_note(name):
            os.removexattr(path, name, follow_symlinks=False)


def is_whiteout(status: os.stat_result) -> bool:
    """Tell whether something in a layer says that there is nothing."""
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def make_whiteout(name: bytes, folder: int) -> None:
    """Say in a folder of a layer that there is nothing of that name."""
    os.mknod(name, stat.S_IFCHR | 0o600, dir_fd=folder)
