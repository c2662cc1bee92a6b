"""Overlays as an author has them: folders whose files are read into the store and listed."""

import fnmatch
import hashlib
import itertools
import os
import posixpath
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from msgspec.structs import replace

from builder.appliance import instance
from builder.host import notices
from builder.host.trees.durable import disk_errors
from builder.host.trees.pouring import pour
from builder.host.trees.treeio import TreeIO
from builder.model.errors import RecipeError
from builder.model.recipe.content import Overlay
from builder.recipes.loaded import LoadedRecipe
from builder.recipes.project import Project, unreadable
from builder.stages.tree.overlay import FOLDER, SUFFIX, Kind, OverlayEntry, errors_below
from builder.store import Store

# `overlay/etc/motd.j2` becomes `/etc/motd`. The folder is read once, before the build: its bytes go
# into the store as blobs and its listing into the stage's inputs, so that the stage can use nothing
# that its key does not name. Files are root's, or the account's in whose home they lie, 0755 when
# executable and 0644 otherwise, because git keeps no more than that. A file that replaces one of
# the tree has that one's owner and mode, and folders that the tree has already stay as they are.
# What version control and editors leave behind is left out.

IGNORED = (
    r"\.git|\.gitkeep|\.keep|\.hg|\.svn|\.bzr|CVS|\.DS_Store"
    r"|.*~|\.#.*|#.*#|\..*\.sw[a-p]"  # an editor's copies, locks and drafts
)
"""Names of files and folders that are none of the author's."""
_MOST_TOLD = 3


@dataclass(frozen=True, slots=True)
class _Wish:
    """What a recipe says of one overlay."""

    wanted: Overlay = field(default_factory=Overlay)
    name: str = FOLDER
    """What it is called below the recipe's folder."""
    said: frozenset[str] = frozenset()
    """Files whose modes `[[file]]` says."""


def read_overlays(
    loaded: LoadedRecipe, cell: dict[str, str], store: Store
) -> tuple[OverlayEntry, ...]:
    """List `overlay/` and what the recipe lays over it, sorted by path, the last one's files.

    `cell` is what is built, for names such as `overlay-{suite}`; those need not be there.
    """
    folder, project, wanted = loaded.folder, loaded.project, loaded.recipe.overlay
    said = frozenset(one.path.strip("/") for one in loaded.recipe.file if one.mode)
    found: dict[str, OverlayEntry] = {}
    for name in (FOLDER, *wanted.folders):
        real = re.sub(r"\{(\w+)\}", lambda part: cell.get(part[1], part[0]), name)
        if name == real != FOLDER and not project.is_folder(folder / real):
            raise RecipeError(f"there is no folder `{real}`", hint=f"it would be `{folder / real}`")
        entries = read_overlay(folder / real, store, project, _Wish(wanted, real, said))
        found |= {entry.path: entry for entry in entries}
    found |= {entry.path: entry for entry in read_instance(loaded, store)}
    return tuple(found[path] for path in sorted(found))


def read_instance(loaded: LoadedRecipe, store: Store) -> tuple[OverlayEntry, ...]:
    """List `instance/`, which a template carries as it is: each instance has it rendered.

    A template that has the answers itself is given it as an overlay.
    """
    said = frozenset(one.path.strip("/") for one in loaded.recipe.file if one.mode)
    folder, wanted = loaded.folder / instance.SOURCES, Overlay(verbatim=("*",))
    if loaded.answers is not None:
        wish = _Wish(Overlay(), instance.SOURCES, said)
        return read_overlay(folder, store, loaded.project, wish)
    wish = _Wish(wanted, instance.SOURCES, said)
    found = read_overlay(folder, store, loaded.project, wish)
    for entry in found:
        if entry.kind == "symlink":
            raise RecipeError(
                "`instance/` holds plain files, and this is a link",
                at=loaded.folder / entry.source,
                hint="a link is the same in all instances: `overlay/` may have it",
            )
    above = [str(path) for path in Path(instance.FOLDER).parents][:-1] if found else []
    folders = [
        OverlayEntry(path=path, kind="dir", mode=0o755, content="", folder=instance.SOURCES)
        for path in (*above, *((instance.FOLDER,) if found else ()))
    ]
    return (
        *folders,
        *(replace(entry, path=f"{instance.FOLDER}/{entry.path}") for entry in found),
    )


def read_overlay(
    folder: Path, store: Store, project: Project, wish: _Wish | None = None
) -> tuple[OverlayEntry, ...]:
    """List an overlay folder, sorted by path, keeping its files' bytes in the store.

    A folder that is not there is an empty overlay. Anything in it that cannot be told from its
    listing, or that would leave the tree, is a RecipeError.
    """
    if not project.exists(folder):
        return ()
    if not project.is_folder(folder):
        raise RecipeError("an overlay is a folder, not a file", at=folder)
    wish = wish or _Wish()
    above = folder.parents[len(Path(wish.name).parts) - 1]
    with store.draft() as draft, errors_below(above), project.tree(folder) as tree:
        reader = _Reader(wish, tree, store, draft)
        found = [
            reader.entry(*one) for one in listed(tree, Path(wish.name)) if reader.takes(one[0])
        ]
    reader.tell_lost()
    found.sort(key=lambda entry: entry.path)
    _refuse_collisions(found)
    return tuple(found)


def keep_file(fd: int, store: Store, draft: Path) -> str:
    """Copy an open file of the author's into the store and give its sha256; holes stay holes."""
    copy = draft / "copy"
    with disk_errors(draft), copy.open("wb") as to:
        pour(fd, to.fileno())
    with copy.open("rb") as data:
        sha256 = hashlib.file_digest(data, "sha256").hexdigest()
    if store.blob(sha256) is None:
        store.keep_blob(copy, sha256)
    return sha256


def listed(tree: TreeIO, folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Walk an author's folder, without what version control and editors leave there.

    `folder` is what errors call it.
    """
    left_out: tuple[str, ...] = ()
    try:
        for path, status in tree.walk():
            if path.startswith(left_out):
                continue
            if re.fullmatch(IGNORED, posixpath.basename(path)):
                left_out = (*left_out, f"{path}/")
            else:
                yield path, status
    except OSError as error:
        raise unreadable(folder / (error.filename or ""), error) from error


@dataclass(slots=True)
class _Reader:
    """Lists the files of one overlay as the recipe wants them."""

    wish: _Wish
    tree: TreeIO
    store: Store
    draft: Path
    lost: list[str] = field(default_factory=list)
    """Files of which something does not get into the template."""
    closed: list[str] = field(default_factory=list)
    """Files that only their owner may read, where they are."""
    open_to_others: bool = False
    """Whether others may read any file: a strict umask(2) would have let them read none."""

    def takes(self, path: str) -> bool:
        """Tell whether a file is none of those that the recipe leaves out."""
        return not any(_matches(path, pattern) for pattern in self.wish.wanted.ignore)

    def entry(self, path: str, status: os.stat_result) -> OverlayEntry:
        """Give the entry of one file, link or folder; a file is kept in the store."""
        source, tree = Path(self.wish.name, path), self.tree
        _refuse_name(path, source)
        mode = self._mode(path, status)
        if stat.S_ISDIR(status.st_mode):
            return OverlayEntry(path=path, kind="dir", mode=mode, content="", folder=self.wish.name)
        if stat.S_ISLNK(status.st_mode):
            target = tree.readlink(path)
            _refuse_escape(path, target, source)
            return OverlayEntry(
                path=path, kind="symlink", mode=0o777, content=target, folder=self.wish.name
            )
        if not stat.S_ISREG(status.st_mode):
            raise RecipeError(
                "an overlay holds files, folders and symbolic links, nothing else",
                at=source,
                hint="make it at the first start instead, by a tmpfiles.d(5) line",
            )
        plain = any(_matches(path, pattern) for pattern in self.wish.wanted.verbatim)
        kind: Kind = "template" if path.endswith(SUFFIX) and not plain else "file"
        return OverlayEntry(
            path=path.removesuffix(SUFFIX) if kind == "template" else path,
            kind=kind,
            mode=mode,
            content=self._kept(path, source),
            folder=self.wish.name,
        )

    def tell_lost(self) -> None:
        """Say which files are not in the template as they are on disk."""
        lost = [*self.lost, *(self.closed if self.open_to_others else ())]
        if lost:
            some = ", ".join(lost[:_MOST_TOLD])
            more = len(lost) - _MOST_TOLD
            notices.tell(
                f"{some}{f' and {more} more' if more > 0 else ''}: say so with `[[file]]`, or with"
                ' `modes = "disk"` in `[overlay]`'
            )

    def _mode(self, path: str, status: os.stat_result) -> int:
        mode, folder = stat.S_IMODE(status.st_mode), stat.S_ISDIR(status.st_mode)
        if self.wish.wanted.modes == "disk":
            return mode
        kept = 0o755 if folder or mode & 0o100 else 0o644
        if not folder:
            self.open_to_others |= bool(mode & 0o044)
            if path not in self.wish.said and (mode & 0o7000 or mode & 0o044 != 0o044):
                hidden = mode & 0o7077 == 0
                told = f"`{self.wish.name}/{path}` is {mode:04o} here and {kept:04o} there"
                (self.closed if hidden else self.lost).append(told)
        return kept

    def _kept(self, path: str, source: Path) -> str:
        try:
            with self.tree.opened(path) as fd:
                if "security.capability" in os.listxattr(fd):
                    self.lost.append(f"`{source}` has capabilities here and none there")
                return keep_file(fd, self.store, self.draft)
        except OSError as error:
            raise unreadable(source, error) from error


def _matches(path: str, pattern: str) -> bool:
    """Match a path below the overlay, or its last part where the pattern has no slash."""
    name = path if "/" in pattern else posixpath.basename(path)
    return fnmatch.fnmatchcase(name, pattern)


def _refuse_name(path: str, source: Path) -> None:
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise RecipeError("a file's name must be UTF-8 text", at=source.parent) from error
    if posixpath.basename(path) == SUFFIX:
        raise RecipeError(f"nothing is left of the name without `{SUFFIX}`", at=source)


def _refuse_escape(path: str, target: str, source: Path) -> None:
    if target.startswith("/"):
        return  # means the container's own root, there
    above = posixpath.dirname(path)
    depth = len(above.split("/")) if above else 0
    for part in target.split("/"):
        depth += -1 if part == ".." else part not in {"", "."}
        if depth < 0:
            raise RecipeError(
                f"the link's target `{target}` climbs out of the overlay",
                at=source,
                hint="use a relative link that stays below the overlay's top",
            )


def _refuse_collisions(entries: list[OverlayEntry]) -> None:
    for one, other in itertools.pairwise(entries):
        if one.path == other.path:
            raise RecipeError(
                f"`{one.source.name}` and `{other.source.name}` both become `/{one.path}`",
                at=one.source,
                hint="remove one of them",
            )
