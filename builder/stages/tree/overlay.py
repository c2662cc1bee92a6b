"""Overlays: the recipe's own files, rendered and put into a tree."""

import hashlib
import itertools
import os
import posixpath
import re
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import msgspec

from builder.host.trees.durable import disk_errors
from builder.host.trees.treeio import TREES_FAULT, TreeIO
from builder.model.errors import OvenError, RecipeError
from builder.model.value import Value
from builder.recipes.project import Project, unreadable
from builder.stages.tree.homes import Homes, owner_below
from builder.stages.tree.variables import Variables
from builder.store import Store
from builder.store.damage import checked_blob

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
SUFFIX = ".j2"
FOLDER = "overlay"

Kind = Literal["file", "template", "symlink", "dir"]


class OverlayEntry(Value, frozen=True, kw_only=True):
    """One file, link or folder of an overlay."""

    path: str
    """Where it goes, relative to the tree's root."""
    kind: Kind
    mode: int
    content: str
    """A file's or template's sha256, a link's target, nothing for a folder."""

    @property
    def source(self) -> Path:
        """The file that a person wrote, relative to the recipe's folder."""
        return Path(FOLDER, self.path + (SUFFIX if self.kind == "template" else ""))


# Reading


def read_overlay(folder: Path, store: Store, project: Project) -> tuple[OverlayEntry, ...]:
    """List an overlay folder, sorted by path, keeping its files' bytes in the store.

    A folder that is not there is an empty overlay. Anything in it that cannot be told from its
    listing, or that would leave the tree, is a RecipeError.
    """
    if not project.exists(folder):
        return ()
    if not project.is_folder(folder):
        raise RecipeError("an overlay is a folder, not a file", at=folder)
    with store.draft() as draft, errors_below(folder.parent), project.tree(folder) as tree:
        found = [_entry(tree, *one, store, draft) for one in listed(tree)]
    found.sort(key=lambda entry: entry.path)
    _refuse_collisions(found)
    return tuple(found)


@contextmanager
def errors_below(folder: Path) -> Iterator[None]:
    """Have errors about an overlay's files name them below the recipe's folder.

    Entries carry relative paths, so that a build in another folder has the same key.
    """
    try:
        yield
    except OvenError as error:
        if error.at is not None and not error.at.path.is_absolute():
            error.at = msgspec.structs.replace(error.at, path=folder / error.at.path)
        raise


def keep_file(fd: int, store: Store, draft: Path) -> str:
    """Copy an open file of the author's into the store and give its sha256."""
    copy = draft / "copy"
    with (
        open(fd, "rb", closefd=False) as source,  # opened by descriptor
        disk_errors(draft),
        copy.open("wb") as to,
    ):
        shutil.copyfileobj(source, to)
    with copy.open("rb") as data:
        sha256 = hashlib.file_digest(data, "sha256").hexdigest()
    if store.blob(sha256) is None:
        store.keep_blob(copy, sha256)
    return sha256


def listed(tree: TreeIO) -> Iterator[tuple[str, os.stat_result]]:
    """Walk an author's folder, without what version control and editors leave there."""
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
        raise unreadable(Path(FOLDER, error.filename or ""), error) from error


def _entry(
    tree: TreeIO, path: str, status: os.stat_result, store: Store, draft: Path
) -> OverlayEntry:
    source = Path(FOLDER, path)
    _refuse_name(path, source)
    if stat.S_ISDIR(status.st_mode):
        return OverlayEntry(path=path, kind="dir", mode=0o755, content="")
    if stat.S_ISLNK(status.st_mode):
        target = tree.readlink(path)
        _refuse_escape(path, target, source)
        return OverlayEntry(path=path, kind="symlink", mode=0o777, content=target)
    if not stat.S_ISREG(status.st_mode):
        raise RecipeError(
            "an overlay holds files, folders and symbolic links, nothing else",
            at=source,
            hint="make it at the first start instead, by a tmpfiles.d(5) line",
        )
    kind: Kind = "template" if path.endswith(SUFFIX) else "file"
    try:
        with tree.opened(path) as fd:
            content = keep_file(fd, store, draft)
    except OSError as error:
        raise unreadable(source, error) from error
    return OverlayEntry(
        path=path.removesuffix(SUFFIX),
        kind=kind,
        mode=0o755 if status.st_mode & 0o100 else 0o644,
        content=content,
    )


def _refuse_name(path: str, source: Path) -> None:
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise RecipeError("a file's name must be UTF-8 text", at=source.parent) from error
    if posixpath.basename(path) == SUFFIX:
        raise RecipeError(f"nothing is left of the name without `{SUFFIX}`", at=source)


def _refuse_escape(path: str, target: str, source: Path) -> None:
    above = posixpath.dirname(path)
    if target.startswith("/"):
        relative = posixpath.relpath(target, f"/{above}")
        raise RecipeError(
            f"the link points to the absolute path `{target}`",
            at=source,
            hint=f"write it relative to the link's own folder: `ln -s {relative}`",
        )
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


# Rendering


def renderer_version(entries: tuple[OverlayEntry, ...]) -> str:
    """Name what renders templates with its version; nothing when there is no template."""
    if not any(entry.kind == "template" for entry in entries):
        return ""
    from importlib.metadata import version  # slow to import, and seldom needed

    return f"jinja2 {version('jinja2')}"


def render_overlay(
    entries: tuple[OverlayEntry, ...], variables: Variables, store: Store
) -> dict[str, bytes]:
    """Render every template of an overlay, by target path."""
    from builder.stages.tree.rendering import render

    templates = {entry.source: entry for entry in entries if entry.kind == "template"}
    texts = {source: _blob(store, entry).read_bytes() for source, entry in templates.items()}
    return {templates[source].path: text for source, text in render(texts, variables).items()}


# Applying


def apply_overlay(
    tree: TreeIO,
    entries: tuple[OverlayEntry, ...],
    rendered: Mapping[str, bytes],
    store: Store,
    *,
    homes: Homes,
) -> None:
    """Put an overlay into a tree; `rendered` holds what its templates came to.

    What is new in a home is its account's.
    """
    for entry in entries:
        try:
            owner = owner_below(homes, entry.path)
            if entry.kind == "dir":
                tree.mkdir(entry.path, entry.mode, owner)
            elif entry.kind == "symlink":
                tree.symlink(entry.path, entry.content)
                tree.chown(entry.path, owner)
            else:
                data = rendered.get(entry.path)
                data = _blob(store, entry).read_bytes() if data is None else data
                tree.write_bytes(entry.path, data, *_rights(entry, tree, owner))
        except OSError as error:
            if error.errno not in TREES_FAULT:
                raise
            from builder.stages.tree.rendering import lowered

            problem = lowered(error.strerror or str(error))
            raise RecipeError(
                f"cannot put `/{entry.path}` into the tree: {problem}",
                at=entry.source,
                hint="the base or a package has something of another kind in its way",
            ) from error


def _rights(
    entry: OverlayEntry, tree: TreeIO, owner: tuple[int, int]
) -> tuple[int, tuple[int, int]]:
    """Give mode and owner of a file: those of the one that it replaces, if there is one."""
    if not tree.exists(entry.path):
        return entry.mode, owner
    there = tree.lstat(entry.path)
    if not stat.S_ISREG(there.st_mode):
        return entry.mode, owner
    mode = stat.S_IMODE(there.st_mode)
    if entry.mode & 0o100:
        mode |= (mode & 0o444) >> 2  # who may read it may run it, too
    return mode, (there.st_uid, there.st_gid)


def _blob(store: Store, entry: OverlayEntry) -> Path:
    blob = checked_blob(store, entry.content)
    if blob is None:
        raise RecipeError(
            "the overlay's file is no longer in the store",
            at=entry.source,
            hint="run the same command again",
        )
    return blob
