"""Volumes of an appliance: the folders of an instance that outlive its template."""

from typing import Annotated

import msgspec

from builder.model.names import AbsolutePath, AccountName, FileMode, Line
from builder.model.value import Value

VolumeName = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\Z",
        title="a volume's name",
        description="lower case letters, digits and dashes inside, at most 63",
    ),
]

OwnerId = Annotated[int, msgspec.Meta(ge=1, le=59999)]


_NEVER = ("/proc", "/sys", "/dev", "/run", "/etc", "/usr")
"""The kernel's, what ends with the container, and what is the template's own to change."""
_LINKS = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/var/run", "/var/lock")
"""Links into these in every template."""


class VolumeSpec(Value, frozen=True, kw_only=True):
    """A folder that each instance keeps outside of its container, and that stays without it.

    It begins as what the template has at `path`.
    """

    name: VolumeName
    """What it is called; that of the instance `shop` is the volume `shop.NAME`."""
    path: AbsolutePath
    """Where it is seen inside: a folder, and no link."""
    owner: AccountName = "root"
    """Whose it is: an account of the template."""
    group: AccountName | None = None
    """Its group; by default that of the owner."""
    mode: FileMode = "0755"
    """The permissions of the folder itself."""
    uid: OwnerId | None = None
    """The number that the owner has in all templates. The account is made with it before packages
    are installed, with `path` as its home and no login shell."""
    gid: OwnerId | None = None
    """The same for the group; by default `uid`, where the group has the owner's name."""
    summary: Line = ""
    """What is kept there."""
    backup: bool = True
    """Whether it is worth a backup."""
    schema: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 1
    """The version of the form that its data has. A volume of a newer one is refused."""

    @property
    def place(self) -> str:
        """Where it is seen inside, without a slash at the end."""
        return self.path.rstrip("/")

    @property
    def pinned_gid(self) -> int | None:
        """The number that the group must have, if it is said."""
        return self.uid if self.gid is None and self.group in {None, self.owner} else self.gid


def misplaced(volume: VolumeSpec) -> str | None:
    """Tell why no volume can be where it is to be; None where one can."""
    place = volume.place
    if not place or {"", ".", ".."} & set(place.split("/")[1:]) or not place.isprintable():
        return "it is to be written plainly, and is not `/` itself"
    for never in (*_NEVER, *_LINKS):
        if place == never or place.startswith(f"{never}/"):
            return f"`{never}` is the system's"
    return None


def overlap(one: VolumeSpec, other: VolumeSpec) -> bool:
    """Tell whether two are at the same place, or one in the other."""
    first, second = f"{one.place}/", f"{other.place}/"
    return first.startswith(second) or second.startswith(first)
