"""Files from elsewhere: what a recipe names by hash, downloaded and put into a tree."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from builder.host.network.downloads import Item, WrongBytesError
from builder.host.trees.durable import disk_errors, locked
from builder.host.trees.treeio import TREES_FAULT, TreeIO
from builder.model.errors import RecipeError, StageError, TrustError
from builder.model.recipe.content import Fetch
from builder.model.toml.source import Source
from builder.model.value import Value
from builder.stages.tools import Tools
from builder.store import Store


class FetchedFile(Value, frozen=True, kw_only=True):
    """A file that the store holds, and where it goes; where it came from changes nothing."""

    path: str
    """Relative to the tree's root."""
    sha256: str
    mode: int
    extract: bool
    strip: int


def fetch_files(
    fetches: tuple[Fetch, ...], source: Source, tools: Tools
) -> tuple[FetchedFile, ...]:
    """Have the store hold every file; an error says which line of the recipe asks for it."""
    found = []
    for index, one in enumerate(fetches):
        try:
            download(one.urls, one.sha256, tools)
        except TrustError as error:
            error.at = source.value("fetch", index, "sha256")
            raise
        found.append(
            FetchedFile(
                path=one.path.lstrip("/"),
                sha256=one.sha256,
                mode=int(one.mode, 8),
                extract=one.extract,
                strip=one.strip,
            )
        )
    return tuple(found)


def download(urls: tuple[str, ...], sha256: str, tools: Tools) -> None:
    """Bring a file into the store by its hash; raises TrustError when it is another one."""
    store = tools.store
    if store.blob(sha256) is not None:
        return
    # One process downloads at a time: two would write to the same unfinished file.
    with disk_errors(store.partial), locked(store.downloading):
        item = Item(urls, store.partial / sha256, None, sha256, urls[0].rpartition("/")[2])
        try:
            tools.net.fetch_all([item], then=lambda it: _keep(it, store))
        except WrongBytesError as error:
            raise TrustError(
                f"`{urls[-1]}` is not the file that the recipe means",
                hint=f"its sha256 is {error.sha256}, and the recipe says {sha256}",
            ) from error


def _keep(item: Item, store: Store) -> None:
    store.keep_blob(item.target, item.sha256)


def lay_files(files: tuple[FetchedFile, ...], tree: TreeIO, store: Store, draft: Path) -> None:
    """Put files into a tree, owned by root; `draft` is for what has to be unpacked first."""
    for index, file in enumerate(files):
        blob = store.blob(file.sha256)
        if blob is None:
            raise StageError(f"the file for `/{file.path}` is gone", hint="run the command again")
        try:
            if file.extract:
                from builder.formats.tar.unpack import unpack_foreign  # few recipes want it

                folder = draft / f"extracted-{index}"
                unpack_foreign(blob, folder, strip=file.strip, epoch=0)
                _lay_folder(folder, file.path, tree)
            else:
                tree.mkdir(os.path.dirname(file.path), 0o755)  # noqa: PTH120  # a path in the tree
                tree.write_from(file.path, blob, file.mode)
        except OSError as error:
            if error.errno not in TREES_FAULT:
                raise
            why = (error.strerror or str(error)).lower()
            raise RecipeError(
                f"cannot put `/{file.path}` into the tree: {why}",
                hint="the base or a package has something of another kind in its way",
            ) from error


def _lay_folder(folder: Path, path: str, tree: TreeIO) -> None:
    tree.mkdir(path, 0o755)
    for name, status in _walk(folder, ""):
        there, here = f"{path}/{name}", folder / name
        if stat.S_ISDIR(status.st_mode):
            tree.mkdir(there, stat.S_IMODE(status.st_mode) & 0o755)
        elif stat.S_ISLNK(status.st_mode):
            tree.symlink(there, str(here.readlink()))
        elif stat.S_ISREG(status.st_mode):
            # A release's owners are whoever packed it; set-id bits for them mean nothing here.
            tree.write_from(there, here, stat.S_IMODE(status.st_mode) & 0o777)


def _walk(folder: Path, prefix: str) -> Iterator[tuple[str, os.stat_result]]:
    """Give all below a folder that was unpacked just now, parents first, in a fixed order."""
    for one in sorted(os.scandir(folder), key=lambda entry: entry.name):
        yield prefix + one.name, one.stat(follow_symlinks=False)
        if one.is_dir(follow_symlinks=False):
            yield from _walk(Path(one.path), f"{prefix}{one.name}/")
