"""What the overlays of the recipes below have laid, and a later layer changes."""

import stat
from collections.abc import Iterable
from pathlib import Path

from builder.host import notices
from builder.host.trees.treeio import TreeIO

_MOST_TOLD = 3


def tell_changed(laid: Iterable[str], lower: Path, tree: TreeIO, who: str) -> None:
    """Say which files of overlays below are not what they were in `lower`, and who did that."""
    with TreeIO(lower) as before:
        found = [path for path in sorted(set(laid)) if _differs(path, before, tree)]
    if found:
        some = ", ".join(f"`/{path}`" for path in found[:_MOST_TOLD])
        more = f" and {len(found) - _MOST_TOLD} more" if len(found) > _MOST_TOLD else ""
        notices.tell(f"{who} changed what an overlay below has laid: {some}{more}")


def _differs(path: str, before: TreeIO, after: TreeIO) -> bool:
    facts = _facts(before, path)
    return facts is not None and facts != _facts(after, path)


def _facts(tree: TreeIO, path: str) -> tuple[int, int, int] | None:
    """Give what shows that a file was written again; None for a folder, which nobody replaces."""
    if not tree.exists(path):
        return (0, 0, 0)
    status = tree.lstat(path)
    if stat.S_ISDIR(status.st_mode):
        return None
    return (status.st_mode, status.st_size, status.st_mtime_ns)
