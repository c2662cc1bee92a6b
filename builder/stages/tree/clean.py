"""Clean: leave nothing in a tree that is the build's own, or that two containers must not share."""

import stat
from collections.abc import Collection

from builder.distros import identity
from builder.distros.debian.clean import RULES
from builder.distros.rpm.clean import RULES as RPM_RULES
from builder.host.trees.treeio import TREES_FAULT, TreeIO
from builder.model.errors import StageError
from builder.model.numbers import number
from builder.stages.tree import info_index, java_keys, tex_lists

# It is the last thing done to a tree, so that what packages, users and scripts leave behind is
# cleaned as well. What the recipe's overlay puts there stays: the author has asked for it. The
# secrets that are removed are made again at the first boot by a small unit each; `leaks` looks in
# the final tree for any that no rule knew of.

DAY = 86400


def clean(tree: TreeIO, *, epoch: int, keep: Collection[str] = ()) -> None:
    """Clean a tree in place; `keep` are paths that no rule may touch."""
    try:
        _clean(tree, epoch, keep)
    except OSError as error:
        if error.errno not in TREES_FAULT:
            raise
        raise StageError(
            f"the tree cannot be cleaned: `{error.filename}`: {(error.strerror or '').lower()}",
            hint="a package, an overlay or a script has put something unexpected there",
        ) from error


def _clean(tree: TreeIO, epoch: int, keep: Collection[str]) -> None:
    identity.write_first_boot_units(tree)
    for rule in (*RULES, *RPM_RULES):
        for path in list(identity.matches(tree, rule.path)):
            if path not in keep and not _holds(path, keep):
                identity.apply(tree, rule, path)
    for path in identity.made_by_recipes(tree):
        if path not in keep and not _holds(path, keep):
            tree.remove(path)
    # An empty machine-id (machine-id(5)): systemd makes one at the first boot, and there is a file
    # to mount over when the root is read-only.
    tree.write_bytes("etc/machine-id", b"", 0o444)
    clamp_password_dates(tree, epoch=epoch)
    if java_keys.FILE not in keep:
        java_keys.forget_times(tree, epoch=epoch)
    if info_index.FILE not in keep:
        info_index.sort_index(tree)
    tex_lists.sort_lists(tree, keep=frozenset(keep))


def _holds(path: str, keep: Collection[str]) -> bool:
    return any(kept.startswith(f"{path}/") for kept in keep)


def clamp_password_dates(tree: TreeIO, *, epoch: int) -> None:
    """Let no password be newer than the epoch: whoever sets one writes the date (shadow(5))."""
    if not tree.is_file("etc/shadow"):
        return
    today = epoch // DAY
    lines = []
    for line in tree.read_bytes("etc/shadow").decode(errors="surrogateescape").splitlines():
        fields = line.split(":")
        if len(fields) > 2 and fields[2].isdecimal() and number(fields[2], today) is None:
            fields[2] = str(today)
        lines.append(":".join(fields) + "\n")
    data = "".join(lines).encode(errors="surrogateescape")
    if data != tree.read_bytes("etc/shadow"):
        status = tree.lstat("etc/shadow")
        mode = stat.S_IMODE(status.st_mode)
        tree.write_bytes("etc/shadow", data, mode, (status.st_uid, status.st_gid))
