"""Tarballs: somebody's root file system in place of a distribution's packages."""

from dataclasses import replace
from pathlib import Path

import msgspec

from builder.distros import ArchiveSources, GroundError
from builder.host.trees.durable import disk_errors
from builder.model.errors import StageError, TrustError
from builder.model.lock import Asked, Lock
from builder.model.recipe import Tarball
from builder.model.value import Digest, Value, digest_of
from builder.recipes.loaded import LoadedRecipe
from builder.stages.resolve import resolve
from builder.stages.stage import Stage, Tree, make, tree_held
from builder.stages.tools import Tools

# What reads tarballs is imported when one is read, which few builds do.


def tarball_sources(cache: Path) -> ArchiveSources:
    """Give the sources of what has no packages."""
    return ArchiveSources(mirrors={}, keyring=cache, cache=cache)


def lock_tarball(asked: Asked, tarball: Tarball, lowest: LoadedRecipe, tools: Tools) -> Lock:
    """Make the lock of a recipe that takes a tarball as it is; its times are the tarball's."""
    epoch = _time_of(tarball, lowest, tools)
    return Lock(recipe=digest_of(asked), asked=asked, epoch=epoch, releases=(), packages=())


def lock_on_tarball(
    asked: Asked, sources: ArchiveSources, lowest: LoadedRecipe, tools: Tools, keep: Lock | None
) -> Lock:
    """Choose the packages that come to those of a tarball, which are in no lock: its digest is."""
    assert asked.tarball is not None
    tree = import_of(asked.tarball, lowest, tools, slot=f"{lowest.name}/{asked.arch}")
    ground = tools.store.tree(tree)
    try:
        lock = resolve(asked, replace(sources, ground=ground), tools, keep)
    except GroundError as error:
        error.at = lowest.source.value(*error.where)
        raise
    epoch = max(lock.epoch, _time_of(asked.tarball, lowest, tools))
    return msgspec.structs.replace(lock, epoch=epoch)


def import_of(tarball: Tarball, lowest: LoadedRecipe, tools: Tools, *, slot: str) -> Digest:
    """Give the tree of a tarball, which is the same whatever is installed on it."""
    epoch = _time_of(tarball, lowest, tools)
    taken = Import(sha256=tarball.sha256, strip=tarball.strip, epoch=epoch)
    return make(IMPORT, taken, tools, slot=f"{slot}/tarball").tree


def _time_of(tarball: Tarball, lowest: LoadedRecipe, tools: Tools) -> int:
    """Give the newest time in a tarball, which is read but once for it."""
    from builder.formats.tar.unpack import newest_time

    file = bring(tarball, lowest, tools)
    key = digest_of(["newest time", tarball.sha256, tarball.strip])
    if (noted := tools.store.recall(key)) is not None and noted.isdigit():
        return int(noted)
    found = newest_time(file, strip=tarball.strip)
    tools.store.remember(key, str(found).encode())
    return found


def bring(tarball: Tarball, lowest: LoadedRecipe, tools: Tools) -> Path:
    """Have the store hold the tarball of a recipe; raises TrustError."""
    store = tools.store
    if (blob := store.blob(tarball.sha256)) is not None:
        return blob
    if tarball.url:
        from builder.stages.fetch_files import download

        download((tarball.url,), tarball.sha256, tools)
    else:
        from builder.stages.tree.overlay_files import keep_file

        path = lowest.folder / str(tarball.path)
        with store.draft() as draft, lowest.project.opened(path) as fd:
            found = keep_file(fd, store, draft)
        if found != tarball.sha256:
            raise TrustError(
                f"`{path}` is not the file that the recipe means",
                hint=f"its sha256 is {found}, and the recipe says {tarball.sha256}",
            )
    blob = store.blob(tarball.sha256)
    assert blob is not None  # it has just been kept
    return blob


class Import(Value, frozen=True, kw_only=True):
    """All that decides what the tree is."""

    sha256: str
    """Of the tarball, which the store holds."""
    strip: int
    epoch: int
    """Seconds since 1970 that no time in the tree exceeds."""


def import_tarball(inputs: Import, tools: Tools) -> Tree:
    """Make the tree, without what no template may carry."""
    from builder.formats.tar.unpack import unpack_foreign
    from builder.host.trees.treeio import TreeIO
    from builder.stages.tree.clean import clean

    store = tools.store
    blob = store.blob(inputs.sha256)
    if blob is None:
        raise StageError("the tarball is gone", hint="run the same command again")
    with disk_errors(store.root), store.draft() as draft:
        unpack_foreign(blob, draft / "tree", strip=inputs.strip, epoch=inputs.epoch)
        with TreeIO(draft / "tree") as tree:
            clean(tree, epoch=inputs.epoch)
        return Tree(store.keep_tree(draft / "tree", epoch=inputs.epoch))


IMPORT = Stage("import", 4, import_tarball, Tree, tree_held)
