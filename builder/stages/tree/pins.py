"""Pinned owners: accounts that have the same number in all templates, since data has theirs."""

from builder.host.sandbox.sandbox import Inside
from builder.host.trees.treeio import TreeIO
from builder.model.recipe.content import Group, User
from builder.model.volume import VolumeSpec
from builder.stages.tree.accounts import add_groups, add_users, ids, primary_groups
from builder.stages.tree.asked import AskedError

# Packages make their accounts with the next free number, which depends on what else is installed.
# One that is there already is left as it is (adduser(8), sysusers.d(5)).

_NO_LOGIN = "/usr/sbin/nologin"


def add_pinned(volumes: tuple[VolumeSpec, ...], tree: TreeIO, run: Inside) -> None:
    """Make the owners of volumes whose numbers are said, before their packages do."""
    for index, volume in enumerate(volumes):
        try:
            _add(volume, tree, run)
        except AskedError as error:
            key = "uid" if error.where[0] == "user" and volume.uid else "gid"
            raise AskedError(
                error.problem,
                ("volume", index, key if getattr(volume, key) else "uid"),
                hint="choose a number that nobody has",
            ) from error


def _add(volume: VolumeSpec, tree: TreeIO, run: Inside) -> None:
    name, group = volume.owner, volume.group or volume.owner
    if volume.pinned_gid is not None and group not in ids(tree, "group"):
        add_groups((Group(name=group, gid=volume.pinned_gid, system=True),), tree, run)
    if volume.uid is None or name in ids(tree, "passwd"):
        return
    own = name if name in ids(tree, "group") else None
    user = User(
        name=name, uid=volume.uid, group=own, system=True, home=volume.place, shell=_NO_LOGIN
    )
    add_users((user,), tree, run)


def check_owners(volumes: tuple[VolumeSpec, ...], tree: TreeIO) -> None:
    """Raise AskedError for a volume whose owner is missing, or has not the number that is said."""
    users, groups, primary = ids(tree, "passwd"), ids(tree, "group"), primary_groups(tree)
    for index, volume in enumerate(volumes):
        uid = users.get(volume.owner)
        gid = groups.get(volume.group) if volume.group else primary.get(volume.owner)
        _check("user", volume.owner, (uid, volume.uid), ("volume", index, "owner"))
        group = volume.group or volume.owner
        _check("group", group, (gid, volume.pinned_gid), ("volume", index, "group"))


def _check(
    what: str, name: str, numbers: tuple[int | None, int | None], where: tuple[str, int, str]
) -> None:
    found, pinned = numbers
    key = "uid" if what == "user" else "gid"
    if found is None:
        raise AskedError(
            f"the {what} `{name}` of the volume does not exist",
            where,
            hint="it must come with a package, with the base, or as `[[user]]` and `[[group]]`",
        )
    if pinned not in {None, found}:
        raise AskedError(
            f"the {what} `{name}` has the number {found} in the tree, and the volume says {pinned}",
            (*where[:2], key),
            hint=f"something below this recipe has made it: say `{key} = {found}`, or pin it there",
        )
