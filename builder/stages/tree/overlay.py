"""Overlays: the recipe's own files, rendered and put into a tree."""

import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import msgspec

from builder.appliance import instance
from builder.appliance.variables import Variables
from builder.host.trees.treeio import TREES_FAULT, TreeIO
from builder.model.errors import OvenError, RecipeError
from builder.model.value import Value
from builder.stages.tree.homes import Homes, owner_below
from builder.store import Store
from builder.store.damage import checked_blob

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
    folder: str = FOLDER
    """The overlay that it is in, relative to the recipe's folder."""

    @property
    def source(self) -> Path:
        """The file that a person wrote, relative to the recipe's folder."""
        return Path(self.folder, self.path + (SUFFIX if self.kind == "template" else ""))


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
    from builder.appliance.rendering import render

    templates = {entry.source: entry for entry in entries if entry.kind == "template"}
    texts = {source: _blob(store, entry).read_bytes() for source, entry in templates.items()}
    return {templates[source].path: text for source, text in render(texts, variables).items()}


def without_blank(
    entries: tuple[OverlayEntry, ...], rendered: Mapping[str, bytes]
) -> tuple[OverlayEntry, ...]:
    """Leave out instance files that come to nothing but white space, as an instance does."""
    blank = {path for path, text in rendered.items() if not text.strip()}
    return tuple(
        one for one in entries if not (one.folder == instance.SOURCES and one.path in blank)
    )


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
            elif (data := rendered.get(entry.path)) is not None:
                tree.write_bytes(entry.path, data, *_rights(entry, tree, owner))
            else:
                tree.write_from(entry.path, _blob(store, entry), *_rights(entry, tree, owner))
        except OSError as error:
            if error.errno not in TREES_FAULT:
                raise
            from builder.appliance.rendering import lowered

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
