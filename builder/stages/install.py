"""Install: a tree and packages, made into a tree that has them."""

from pathlib import Path

from builder.distros import distro
from builder.distros.kitchen import Kitchen, opened
from builder.host.files import disk_errors
from builder.host.overlay import fold
from builder.host.treeio import TreeIO
from builder.model.errors import StageError
from builder.model.lock import Package
from builder.model.recipe import Arch
from builder.model.value import Digest, Value
from builder.stages.clean import clean, refuse_leaks
from builder.stages.stage import Stage, Tree, tree_held
from builder.stages.tools import Tools
from builder.store import Store


class Installation(Value, frozen=True, kw_only=True):
    """All that decides what the new tree is."""

    tree: Digest
    """What to install on."""
    distro: str
    suite: str
    arch: Arch
    packages: tuple[Package, ...]
    """A batch of one layer of the lock."""
    inherited: tuple[str, ...] = ()
    """The overlay paths of the layers below, which cleaning must leave alone."""
    epoch: int
    """Seconds since 1970 that no time in the tree exceeds."""


def install(inputs: Installation, tools: Tools) -> Tree:
    """Make the tree; unchanged files are hard links to those of the tree below."""
    store = tools.store
    lower = tree_of(inputs.tree, store)
    with disk_errors(store.root), store.draft() as draft:
        kitchen = Kitchen(
            draft=draft,
            store=store,
            arch=inputs.arch,
            suite=inputs.suite,
            epoch=inputs.epoch,
            base=lower,
            jobs=tools.jobs,
        )
        distro(inputs.distro).install(inputs.packages, kitchen)
        with opened(lower, kitchen) as (view, _), TreeIO(view) as tree:
            clean(tree, epoch=inputs.epoch, keep=inputs.inherited)
            refuse_leaks(tree)
        fold(lower, kitchen.upper, kitchen.tree)
        return Tree(store.keep_tree(kitchen.tree, epoch=inputs.epoch))


def tree_of(digest: Digest, store: Store) -> Path:
    """Give the folder of a tree that an earlier stage has made."""
    tree = store.tree(digest)
    if tree is None:
        raise StageError("the tree to work on is gone", hint="run the same command again")
    return tree


INSTALL = Stage("install", 1, install, Tree, tree_held)
