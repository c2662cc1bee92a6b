"""Mounts of layers: shared ones below, and one that takes all changes."""

from pathlib import Path

import msgspec

from builder.host.kernel import mounts, namespaces


class Overlay(msgspec.Struct, frozen=True):
    """A file system of layers: shared ones below, and one that takes all changes."""

    lowers: tuple[Path, ...]
    """The top one first."""
    upper: Path
    work: Path
    volatile: bool = False
    """Never sync; for what is thrown away anyway (overlayfs.rst, "Volatile mount")."""
    of_user: bool = False
    """Whether a user namespace mounts it, whose notes are other attributes (`userxattr`)."""


def mount_overlay(overlay: Overlay, target: Path) -> None:
    """Mount layers as one; raises OSError."""
    namespaces.mount("overlay", target, "overlay", data=_options(overlay))


def mount_for(owner: int, overlay: Overlay, target: Path) -> None:
    """Mount layers as one, with `owner` as the user who makes files in the upper one.

    Overlayfs keeps the credentials of the mounting process for all that it does to the upper
    layer; with plain root's it could not make files in a layer where root has no id.
    """
    with mounts.file_owner(owner):
        mount_overlay(overlay, target)


def _options(overlay: Overlay) -> str:
    options = [
        "lowerdir=" + ":".join(map(_escaped, overlay.lowers)),
        f"upperdir={_escaped(overlay.upper)}",
        f"workdir={_escaped(overlay.work)}",
        # Every file and folder of a layer is whole, so that layers can be kept, merged, folded and
        # moved (overlayfs.rst, "Changes to underlying filesystems").
        "index=off,redirect_dir=nofollow,metacopy=off",
    ]
    options += ["volatile"] if overlay.volatile else []
    options += ["userxattr"] if overlay.of_user else []
    return ",".join(options)


def _escaped(path: Path) -> str:
    """Write a path as a mount option: a colon parts lower folders, a comma options."""
    text = str(path.absolute()).replace("\\", "\\\\")
    return text.replace(":", "\\:").replace(",", "\\,")
