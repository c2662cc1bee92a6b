"""Rights: owners and permissions of files in a tree, as the recipe wants them."""

import stat
from typing import TYPE_CHECKING

from builder.appliance import instance
from builder.model.rights import FileRights
from builder.stages.tree.asked import AskedError

if TYPE_CHECKING:
    from builder.host.trees.treeio import TreeIO


def set_rights(files: tuple[FileRights, ...], tree: "TreeIO") -> None:
    """Give files and folders to their owners; chown(2) clears set-id bits, so modes come last."""
    for index, file in enumerate(files):
        if not tree.exists(file.path) and instance.has(tree, file.path):
            continue  # it is there once there is an instance
        _refuse_mistakes(index, file, tree)
        before = tree.lstat(file.path)
        uid, gid = _owners(index, file, tree)
        tree.chown(file.path, (before.st_uid if uid is None else uid,
                               before.st_gid if gid is None else gid))  # fmt: skip
        mode = stat.S_IMODE(before.st_mode) if file.mode is None else int(file.mode, 8)
        tree.chmod(file.path, mode)


def _refuse_mistakes(index: int, file: FileRights, tree: "TreeIO") -> None:
    if (file.owner, file.group, file.mode) == (None, None, None):
        raise AskedError(
            f"nothing is said of `{file.path}`",
            ("file", index, "path"),
            hint="say `owner`, `group` or `mode`",
        )
    if not tree.exists(file.path):
        raise AskedError(
            f"there is no `{file.path}` in the tree",
            ("file", index, "path"),
            hint="packages, overlay and accounts come before; scripts see to what they make",
        )
    if stat.S_ISLNK(tree.lstat(file.path).st_mode):
        target = tree.readlink(file.path)
        raise AskedError(
            f"`{file.path}` is a link to `{target}`",
            ("file", index, "path"),
            hint="name what it leads to",
        )


def _owners(index: int, file: FileRights, tree: "TreeIO") -> tuple[int | None, int | None]:
    from builder.stages.tree.accounts import ids, nearest, primary_groups

    def number(name: str | int | None, key: str, database: str) -> int | None:
        if name is None or isinstance(name, int):
            return name
        known = ids(tree, database)
        if name not in known:
            raise AskedError(
                f"the {'account' if key == 'owner' else 'group'} `{name}` does not exist",
                ("file", index, key),
                hint=nearest(name, known, "it must come with a package or as `[[user]]`"),
            )
        return known[name]

    uid, gid = number(file.owner, "owner", "passwd"), number(file.group, "group", "group")
    if gid is None and isinstance(file.owner, str):
        gid = primary_groups(tree).get(file.owner)
    return uid, gid
