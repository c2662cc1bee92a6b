"""What makes a system itself: taken from a tree by rules, and made anew at its first boot."""

import fnmatch
import re
import stat
from collections.abc import Iterator

from builder.distros.first_boot import (
    FIRST_BOOT,
    FIRST_BOOT_WANTS,
    FirstBootUnit,
    first_boot_line,
    first_boot_unit,
)
from builder.distros.traces import IDENTITY, CleanRule
from builder.host.trees.treeio import TREES_FAULT, TreeIO
from builder.model.errors import StageError

UNITS = "usr/lib/systemd/system"
_SYSVINIT = "usr/share/sysvinit/inittab"
"""In a tree: comes with the package of that init."""
_SCRIPT = "usr/lib/oven/first-boot.sh"
_HEAD = (
    b"#!/bin/sh\n# Written by Oven: makes what containers must not share, where it is missing.\n"
)
_ENTRY = f"ov::bootwait:/{_SCRIPT}\n".encode()
MADE = "usr/lib/oven/first-boot.makes"
"""In a tree: what commands of recipes make at the first boot, a path a line."""


def forget_identity(tree: TreeIO) -> None:
    """Take from a copy of a container what it must not share with that, as from a template."""
    try:
        write_first_boot_units(tree)
        for rule in IDENTITY:
            if rule.path != "etc/resolv.conf":  # of the same host, and perhaps written by hand
                for path in list(matches(tree, rule.path)):
                    apply(tree, rule, path)
        for path in made_by_recipes(tree):
            tree.remove(path)
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
    if rule.action == "find" or not stat.S_ISREG(status.st_mode) or not status.st_size:
        return
    left = _without_lines(tree, rule, path) if rule.action == "cut" else b""
    if left is not None:
        mode = stat.S_IMODE(status.st_mode)
        tree.write_bytes(path, left, mode, (status.st_uid, status.st_gid))


def is_about(tree: TreeIO, rule: CleanRule, path: str) -> bool:
    """Tell whether a file has what a rule that names it is about."""
    return not rule.lines or _without_lines(tree, rule, path) is not None


def _without_lines(tree: TreeIO, rule: CleanRule, path: str) -> bytes | None:
    """Give a file without the lines that a rule means; None where it has none of them."""
    lines = tree.read_bytes(path).splitlines(keepends=True)
    left = [line for line in lines if not re.match(rule.lines.encode(), line)]
    return b"".join(left) if len(left) < len(lines) else None


def matches(tree: TreeIO, pattern: str) -> Iterator[str]:
    """Give the paths in a tree that a rule's pattern names, entering no link."""
    if pattern.endswith("/**"):
        folder = pattern.removesuffix("/**")
        if tree.is_dir(folder):
            for path, status in tree.walk(folder):
                if not stat.S_ISDIR(status.st_mode):
                    yield path
        return
    if not _has_signs(pattern):
        if tree.exists(pattern):
            yield pattern
        return
    above, _, name = pattern.rpartition("/")
    if _has_signs(above):
        folders = [one for one in matches(tree, above) if stat.S_ISDIR(tree.lstat(one).st_mode)]
    else:
        folders = [above] if tree.is_dir(above) else []
    for folder in folders:
        for found in fnmatch.filter(tree.listdir(folder), name):
            yield f"{folder}/{found}"


def _has_signs(text: str) -> bool:
    return any(sign in text for sign in "*?[")


def write_first_boot_units(tree: TreeIO) -> None:
    """Put in a unit for each secret that is removed here and that a service needs."""
    for row in FIRST_BOOT:
        if tree.is_file(row.needs) and _wanted(tree, row):
            unit = f"oven-{row.name}.service"
            # Below /usr/lib, so that no state of the administrator's in /etc is touched.
            tree.mkdir(f"{UNITS}/{FIRST_BOOT_WANTS}")
            tree.write_bytes(f"{UNITS}/{unit}", first_boot_unit(row).text().encode())
            tree.symlink(f"{UNITS}/{FIRST_BOOT_WANTS}/{unit}", f"../{unit}")
            if tree.is_file(_SYSVINIT) and tree.is_file("etc/inittab"):
                _add_to_script(tree, first_boot_line(row).encode())


def _add_to_script(tree: TreeIO, line: bytes) -> None:
    """Have sysvinit do the same: `bootwait` comes between rcS and all services (inittab(5))."""
    script = tree.read_bytes(_SCRIPT) if tree.is_file(_SCRIPT) else _HEAD
    if line not in script:
        tree.mkdir("usr/lib/oven")
        tree.write_bytes(_SCRIPT, script + line, 0o755)
    entries, status = tree.read_bytes("etc/inittab"), tree.lstat("etc/inittab")
    if _ENTRY not in entries:
        mode = stat.S_IMODE(status.st_mode)
        tree.write_bytes("etc/inittab", entries + _ENTRY, mode, (status.st_uid, status.st_gid))


def made_by_recipes(tree: TreeIO) -> list[str]:
    """Name what commands of recipes make, and no template and no copy may have."""
    if not tree.is_file(MADE):
        return []
    lines = tree.read_bytes(MADE).decode(errors="surrogateescape").splitlines()
    return [line for line in lines if line.strip("/.")]


def _wanted(tree: TreeIO, row: FirstBootUnit) -> bool:
    """Tell whether the secret is there: ssh-keygen comes with the client as well."""
    return any(tree.exists(path) for path in row.missing)
