"""Rewriting: a file of a tree gets other bytes, and stays what it is otherwise."""

import stat
from collections.abc import Callable

from builder.host.trees.treeio import TreeIO


def rewrite(tree: TreeIO, path: str, most: int, change: Callable[[bytes], bytes | None]) -> None:
    """Put in what is made of a file's bytes; None, a larger file and no file leave it alone."""
    if not tree.is_file(path):
        return
    status = tree.lstat(path)
    if not stat.S_ISREG(status.st_mode) or status.st_size > most:
        return
    before = tree.read_bytes(path, most)
    after = change(before)
    if after is not None and after != before:
        mode = stat.S_IMODE(status.st_mode)
        tree.write_bytes(path, after, mode, (status.st_uid, status.st_gid))
