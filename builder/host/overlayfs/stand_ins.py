"""Stand-ins: files that programs see while they work on a tree, and that are no part of it."""

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from builder.host.overlayfs.fold import copy_status, copy_times
from builder.host.trees.treeio import TREES_FAULT, TreeIO

MARK = b"# seen while a tree is worked on, and no part of it\n"
"""A line of each, by which it is known again when a program has written to it."""

_LIMIT = 1 << 26
"""Bytes of a file that somebody adds to; lists of hosts can be long."""


def lay(lower: Path, folder: Path, files: Mapping[str, bytes]) -> Path:
    """Lay files, by their paths in a tree, into a folder to mount `over` that tree.

    The folders on the way look just as in the tree, since the view shows these and not the tree's.
    """
    folder.mkdir(parents=True)
    for name, content in files.items():
        parts = Path(name).parts
        if any(lower.joinpath(*parts[:depth]).is_symlink() for depth in range(1, len(parts))):
            continue  # a folder in place of the link would hide what it leads to
        for depth in range(1, len(parts)):
            made = folder.joinpath(*parts[:depth])
            if (like := lower.joinpath(*parts[:depth])).is_dir():
                made.mkdir(exist_ok=True)
                copy_status(os.fsencode(like), os.fsencode(made))
        if folder.joinpath(name).parent.is_dir():
            _lay_file(folder / name, content, lower / name)
    for path, _, _ in os.walk(folder, topdown=False):
        like = lower / Path(path).relative_to(folder)
        copy_times(os.fsencode(like), os.fsencode(path))
    return folder


def _lay_file(path: Path, content: bytes, like: Path) -> None:
    """Write a program, or data with the rights of the tree's own: who changes it keeps them."""
    path.write_bytes(content)
    program = content.startswith(b"#!")
    path.chmod(0o755 if program else 0o644)
    if not program and like.is_file() and not like.is_symlink():
        status = like.lstat()
        os.chown(path, status.st_uid, status.st_gid)
        path.chmod(stat.S_IMODE(status.st_mode))


def take_out(lower: Path, upper: Path, files: Mapping[str, bytes]) -> None:
    """Leave of the stand-ins that programs have written to only what they wrote.

    `upper` says what was changed; it is not mounted any more. A line that was added comes after
    those of the tree's own file.
    """
    with TreeIO(lower) as tree, TreeIO(upper) as changed:
        for name, content in files.items():
            now = _read(changed, name)
            if now is None or (MARK not in now and now != content):
                continue
            known = set(content.splitlines(keepends=True))
            added = [line for line in now.splitlines(keepends=True) if line not in known]
            own = _read(tree, name)
            if own and added and not own.endswith(b"\n"):
                own += b"\n"
            if own is None and not added:
                changed.remove(name)
                continue
            status = changed.lstat(name)
            changed.write_bytes(
                name,
                (own or b"") + b"".join(added),
                stat.S_IMODE(status.st_mode),
                (status.st_uid, status.st_gid),
            )


def _read(tree: TreeIO, name: str) -> bytes | None:
    """Read a file that is no link; what cannot have come of a stand-in counts as none."""
    try:
        if stat.S_ISREG(tree.lstat(name).st_mode):
            return tree.read_bytes(name, _LIMIT)
    except OSError as error:
        if error.errno not in TREES_FAULT:
            raise
    return None
