"""Layers read as overlayfs shows them, beside the tree that they lie on; nothing is mounted.

A container that runs may change its upper layer meanwhile: then what is given is old or new, and
never outside of the layers.
"""

import contextlib
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from builder.host.overlayfs import notes
from builder.host.trees.pouring import pour
from builder.host.trees.treeio import TREES_FAULT, TreeIO

_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class LayeredEntry:
    """Something in one of the trees."""

    tree: TreeIO
    path: str
    status: os.stat_result

    @property
    def is_folder(self) -> bool:
        """Tell whether it is a folder."""
        return stat.S_ISDIR(self.status.st_mode)

    @property
    def is_file(self) -> bool:
        """Tell whether it is a regular file."""
        return stat.S_ISREG(self.status.st_mode)

    def pieces(self) -> Iterator[bytes]:
        """Give a regular file's bytes, part by part, as many as it had when it was looked at."""
        left = self.status.st_size
        with self.tree.opened(self.path) as fd:
            while left > 0 and (piece := os.read(fd, min(_PIECE, left))):
                left -= len(piece)
                yield piece

    def pour(self, target: int) -> None:
        """Write a regular file's bytes to a new file; holes stay holes."""
        with self.tree.opened(self.path) as fd:
            pour(fd, target, lambda _: None)

    def read(self, limit: int) -> bytes:
        """Give a regular file's bytes; OSError EFBIG when there are more than `limit`."""
        return self.tree.read_bytes(self.path, limit)

    def target(self) -> str:
        """Give where a symbolic link leads."""
        return self.tree.readlink(self.path)

    def attributes(self) -> dict[str, bytes]:
        """Give the extended attributes, without those by which overlayfs keeps its notes."""
        found = self.tree.xattrs(self.path)
        return {name: value for name, value in found.items() if not name.startswith(notes.prefix())}


@dataclass(frozen=True, slots=True)
class Pair:
    """A path that a layer touches: what the tree below has there, and what is seen."""

    path: str
    below: LayeredEntry | None
    seen: LayeredEntry | None


@dataclass(frozen=True, slots=True)
class _Folder:
    path: str
    tops: tuple[TreeIO, ...]
    """The layers that have the folder, as far as it is not hidden there."""
    base: TreeIO | None
    """The tree below, if it has a folder there too."""
    shows: bool
    """Whether what is in the tree below is seen through the layers."""


class Layers:
    """Layers, the top first, on a tree; use it in a `with` block."""

    def __init__(self, layers: Sequence[Path], base: Path, *, shows: bool = True) -> None:
        """Without `shows` nothing of the tree below is seen: two whole trees are compared."""
        self._shows = shows
        self._stack = contextlib.ExitStack()
        self._layers = tuple(self._stack.enter_context(TreeIO(layer)) for layer in layers)
        self._base = self._stack.enter_context(TreeIO(base))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def touched(self) -> Iterator[Pair]:
        """Give every path that a layer has or hides, a folder before what is in it.

        What is in a folder that is gone is not given again.
        """
        top = self._top()
        todo = [(top, iter(_names(top)))]
        while todo:
            folder, names = todo[-1]
            if (name := next(names, None)) is None:
                todo.pop()
                continue
            pair, inner = _look(folder, f"{folder.path}/{name}" if folder.path else name)
            yield pair
            if inner is not None:
                todo.append((inner, iter(_names(inner))))

    def find(self, path: str) -> LayeredEntry | None:
        """Give what is seen at a path, on whose way there are no links."""
        folder = self._top()
        parts = path.strip("/").split("/")
        for depth in range(1, len(parts)):
            pair, inner = _look(folder, "/".join(parts[:depth]))
            if inner is None:
                untouched = pair.seen is not None and pair.seen is pair.below
                return self.below(path) if untouched else None
            folder = inner
        return _look(folder, path.strip("/"))[0].seen

    def below(self, path: str) -> LayeredEntry | None:
        """Give what the tree below has at a path."""
        return found_in(self._base, path.strip("/"))

    def _top(self) -> _Folder:
        return _Folder("", self._layers, self._base, shows=self._shows)


def found_in(tree: TreeIO, path: str) -> LayeredEntry | None:
    """Give what a tree has at a path; None when there is nothing."""
    try:
        return LayeredEntry(tree, path, tree.lstat(path))
    except OSError as error:
        if error.errno in TREES_FAULT:
            return None
        raise


def _names(folder: _Folder) -> list[str]:
    names: set[str] = set()
    for top in folder.tops:
        names.update(_listed(top, folder.path))
    if folder.base is not None and not folder.shows:
        names.update(_listed(folder.base, folder.path))
    return sorted(names)


def _listed(tree: TreeIO, path: str) -> list[str]:
    try:
        return tree.listdir(path)
    except OSError as error:
        if error.errno in TREES_FAULT:
            return []  # gone or replaced since it was looked at
        raise


def _look(folder: _Folder, path: str) -> tuple[Pair, _Folder | None]:
    below = found_in(folder.base, path) if folder.base is not None else None
    seen: LayeredEntry | None = None
    tops: list[TreeIO] = []
    shows = folder.shows
    for top in folder.tops:
        here = found_in(top, path)
        if here is None:
            continue
        if not here.is_folder:
            shows = False
            if seen is None and not notes.is_whiteout(here.status):
                seen = here
            break
        seen = seen or here
        tops.append(top)
        if _is_opaque(top, path):
            shows = False
            break
    if shows and seen is None:
        seen = below
    base = folder.base if below is not None and below.is_folder else None
    if seen is None or not seen.is_folder or not tops:
        return Pair(path, below, seen), None
    inner = _Folder(path, tuple(tops), base, shows=shows and base is not None)
    return Pair(path, below, seen), inner


def _is_opaque(tree: TreeIO, path: str) -> bool:
    with contextlib.suppress(OSError):
        return notes.says_opaque(tree.xattrs(path).get(notes.opaque()))
    return False
