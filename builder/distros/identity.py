"""What makes a system itself: taken from a tree by rules, and made anew at its first boot."""

import fnmatch
import stat
from collections.abc import Iterator

from builder.distros.traces import (
    FIRST_BOOT,
    FIRST_BOOT_WANTS,
    IDENTITY,
    CleanRule,
    FirstBootUnit,
    first_boot_unit,
)
from builder.host.trees.treeio import TREES_FAULT, TreeIO
from builder.model.errors import StageError

UNITS = "usr/lib/systemd/system"


def forget_identity(tree: TreeIO) -> None:
    """Take from a copy of a container what it must not share with that, as from a template."""
    try:
        write_first_boot_units(tree)
        for rule in IDENTITY:
            if rule.path != "etc/resolv.conf":  # of the same host, and perhaps written by hand
                for path in list(matches(tree, rule.path)):
                    apply(tree, rule, path)
        tree.write_bytes("etc/machine-id", b"", 0o444)
    except OSError as error:
        if error.errno not in TREES_FAULT:
            raise
        raise StageError(
            f"the copy cannot be given an identity of its own: `{error.filename}`: "
            f"{(error.strerror or '').lower()}",
            hint="something unexpected is in the container at that path",
        ) from error


def apply(tree: TreeIO, rule: CleanRule, path: str) -> None:
    """Do to one path what a rule says."""
    if rule.action == "remove":
        tree.remove(path)
        return
    status = tree.lstat(path)
    if rule.action == "unlist":
        if stat.S_ISDIR(status.st_mode):
            tree.unlist(path)
        return
    if stat.S_ISREG(status.st_mode) and status.st_size:
        mode = stat.S_IMODE(status.st_mode)
        tree.write_bytes(path, b"", mode, (status.st_uid, status.st_gid))


def matches(tree: TreeIO, pattern: str) -> Iterator[str]:
    """Give the paths in a tree that a rule's pattern names, entering no link."""
    if pattern.endswith("/**"):
        folder = pattern.removesuffix("/**")
        if tree.is_dir(folder):
            for path, status in tree.walk(folder):
                if not stat.S_ISDIR(status.st_mode):
                    yield path
        return
    folder, _, name = pattern.rpartition("/")
    if not any(sign in name for sign in "*?["):
        if tree.exists(pattern):
            yield pattern
    elif tree.is_dir(folder):
        for found in fnmatch.filter(tree.listdir(folder), name):
            yield f"{folder}/{found}"


def write_first_boot_units(tree: TreeIO) -> None:
    """Put in a unit for each secret that is removed here and that a service needs."""
    for row in FIRST_BOOT:
        if tree.is_file(row.needs) and _wanted(tree, row):
            unit = f"oven-{row.name}.service"
            # Below /usr/lib, so that no state of the administrator's in /etc is touched.
            tree.mkdir(f"{UNITS}/{FIRST_BOOT_WANTS}")
            tree.write_bytes(f"{UNITS}/{unit}", first_boot_unit(row).text().encode())
            tree.symlink(f"{UNITS}/{FIRST_BOOT_WANTS}/{unit}", f"../{unit}")


def _wanted(tree: TreeIO, row: FirstBootUnit) -> bool:
    """Tell whether the secret is there: ssh-keygen comes with the client as well."""
    return any(tree.exists(path) for path in row.missing)
