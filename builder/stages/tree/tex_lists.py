"""TeX's lists of files and of fonts: in the order of the alphabet, not of the folders they list."""

import re

from builder.host.trees.treeio import TreeIO
from builder.stages.tree.rewriting import rewrite

# mktexlsr(1) and update-updmap(8) take files as readdir(3) gives them. Nothing depends on that
# order, or it would be another one on each machine.

FOLDER = "var/lib/texmf"
_FILES = re.compile(r"ls-R.*")
_FONTS = re.compile(r"updmap\.cfg-.*")
_BLOCK = re.compile(r"^\./.*:$", re.MULTILINE)
_MOST = 64 << 20


def sort_lists(tree: TreeIO, *, keep: frozenset[str] = frozenset()) -> None:
    """Sort those that the tree has, but for what the author wants as it is."""
    for name in tree.listdir(FOLDER) if tree.is_dir(FOLDER) else ():
        path = f"{FOLDER}/{name}"
        if path in keep:
            continue
        if _FILES.fullmatch(name):
            rewrite(tree, path, _MOST, _files_sorted)
        elif _FONTS.fullmatch(name):
            rewrite(tree, path, _MOST, _lines_sorted)


def _files_sorted(data: bytes) -> bytes | None:
    """Sort the folders, and the names in each."""
    text = data.decode(errors="surrogateescape")
    titles = [*_BLOCK.finditer(text)]
    if not titles:
        return None
    ends = [one.start() for one in titles[1:]] + [len(text)]
    blocks = sorted(
        (one[0], sorted(line for line in text[one.end() : end].split("\n") if line))
        for one, end in zip(titles, ends, strict=True)
    )
    listed = ("".join(f"{line}\n" for line in (title, *names)) for title, names in blocks)
    return (text[: titles[0].start()] + "\n".join(listed)).encode(errors="surrogateescape")


def _lines_sorted(data: bytes) -> bytes:
    """Sort the lines below the remarks at the top."""
    lines = data.splitlines(keepends=True)
    head = next((n for n, line in enumerate(lines) if not line.startswith(b"#")), len(lines))
    return b"".join((*lines[:head], *sorted(lines[head:])))
