"""Install: a tree and packages, made into a tree that has them."""

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from builder.distros import distro
from builder.host.programs import Command
from builder.host.trees.durable import disk_errors
from builder.model.errors import StageError
from builder.model.lock import Lock, Package
from builder.model.recipe import Arch
from builder.model.value import Digest, Value, canonical, digest_of
from builder.model.volume import VolumeSpec
from builder.stages.stage import Stage, Tree, tree_held
from builder.stages.tools import Tools
from builder.store import Store

if TYPE_CHECKING:
    from builder.distros.buildroot import Kitchen


class Installation(Value, frozen=True, kw_only=True):
    """All that decides what the new tree is."""

    tree: Digest
    """What to install on."""
    distro: str
    suite: str
    arch: Arch
    packages: tuple[Package, ...]
    """A batch of one layer of the lock."""
    removed: tuple[str, ...] = ()
    """Packages of the tree that go, together with their configuration."""
    plain: bool = False
    """Whether the tree is the same when some of the packages are added after others."""
    selections: tuple[str, ...] = ()
    """What debconf-set-selections is told before."""
    pinned: tuple[VolumeSpec, ...] | msgspec.UnsetType = msgspec.UNSET
    """Volumes whose owners are made before, with the numbers that are said. Where there are none,
    nothing is said: so what was remembered before volumes had owners counts."""
    inherited: tuple[str, ...] = ()
    """The overlay paths of the layers below, which cleaning must leave alone."""
    epoch: int
    """Seconds since 1970 that no time in the tree exceeds."""
    keys: dict[str, bytes] = {}
    """For each repository what its package files must be signed with, where they are."""


class Batches(Value, frozen=True):
    """How a distribution cuts what a layer installs."""

    batches: tuple[tuple[Package, ...], ...]


BATCHES_VERSION = 1
"""Raised when the same packages come to be cut in another way."""


def batches(lock: Lock, layer: str, store: Store) -> tuple[tuple[Package, ...], ...]:
    """Cut what a layer installs into batches; what was cut before is remembered."""
    packages = tuple(package for package in lock.packages if package.layer == layer)
    if not packages and not lock.removed_by(layer):
        return ()
    if lock.removed_by(layer) or lock.asked.tarball is not None:
        return (packages,)  # what comes may have to be there before something goes, or becomes new
    key = digest_of(["batches", BATCHES_VERSION, lock.asked.distro, packages])
    if (kept := store.recall(key)) is not None:
        return msgspec.json.decode(kept, type=Batches).batches
    made = distro(lock.asked.distro).batches(packages, store)
    store.remember(key, canonical(Batches(made)))
    return made


def install(inputs: Installation, tools: Tools) -> Tree:
    """Make the tree; unchanged files are hard links to those of the tree below.

    Of a plain batch only those packages are installed that no remembered tree has yet.
    """
    from builder.distros.buildroot import Kitchen, opened  # a build that changes nothing has no use
    from builder.host.overlayfs.fold import fold
    from builder.host.trees.treeio import TreeIO
    from builder.stages.tree.changed import tell_changed
    from builder.stages.tree.clean import clean

    store = tools.store
    start, left = _nearest(inputs, store) if inputs.plain else (inputs.tree, inputs.packages)
    lower = tree_of(start, store)
    with disk_errors(store.root), store.draft() as draft:
        kitchen = Kitchen(
            draft=draft,
            store=store,
            arch=inputs.arch,
            suite=inputs.suite,
            epoch=inputs.epoch,
            base=lower,
            jobs=tools.jobs,
            added=inputs.keys,
            removed=inputs.removed,
        )
        if inputs.selections:
            _answer(inputs.selections, lower, kitchen)
        if inputs.pinned:
            _pin(inputs.pinned, lower, kitchen)
        distro(inputs.distro).install(left, kitchen)
        with opened(lower, kitchen) as (view, _), TreeIO(view) as tree:
            tell_changed(inputs.inherited, lower, tree, _who(inputs.packages))
            clean(tree, epoch=inputs.epoch, keep=inputs.inherited)
        fold(lower, kitchen.upper, kitchen.tree)
        made = Tree(store.keep_tree(kitchen.tree, epoch=inputs.epoch, base=start))
    if inputs.plain:
        _note(inputs, made, store)
    return made


def _who(packages: tuple[Package, ...]) -> str:
    """Name those that change a tree; a layer may do no more than take some away."""
    return f"the packages of `{packages[0].layer}`" if packages else "what `remove` takes away"


def _pin(volumes: tuple[VolumeSpec, ...], lower: Path, kitchen: "Kitchen") -> None:
    """Make the owners of volumes before packages do."""
    from builder.distros.buildroot import opened
    from builder.host.trees.treeio import TreeIO
    from builder.stages.tree.pins import add_pinned

    with opened(lower, kitchen) as (view, run), TreeIO(view) as tree:
        add_pinned(volumes, tree, run)


def _answer(selections: tuple[str, ...], lower: Path, kitchen: "Kitchen") -> None:
    """Have debconf know the answers before its packages ask (debconf-set-selections(1))."""
    from builder.distros.buildroot import opened

    lines = "".join(f"{line}\n" for line in selections)
    with opened(lower, kitchen) as (_, run):
        command = Command(("debconf-set-selections",), stdin=lines.encode())
        run.require(command, "debconf takes no answers")


class _Known(Value, frozen=True):
    """A tree that was made of some plain packages."""

    packages: frozenset[str]
    """Their sha256."""
    tree: Digest


_MOST_KNOWN = 8
"""So many trees are remembered for one that they all stand on; the oldest go."""


def _nearest(inputs: Installation, store: Store) -> tuple[Digest, tuple[Package, ...]]:
    """Give the remembered tree that has the most of the packages, and those that it lacks."""
    wanted = {_identity(package): package for package in inputs.packages}
    start = _Known(frozenset(), inputs.tree)
    for known in _known(inputs, store):
        if start.packages < known.packages < wanted.keys() and store.tree(known.tree):
            start = known
    left = (package for identity, package in wanted.items() if identity not in start.packages)
    return start.tree, tuple(left)


def _note(inputs: Installation, made: Tree, store: Store) -> None:
    new = _Known(frozenset(map(_identity, inputs.packages)), made.tree)
    older = [known for known in _known(inputs, store) if known.packages != new.packages]
    store.remember(_known_key(inputs), canonical((*older, new)[-_MOST_KNOWN:]))


def _known(inputs: Installation, store: Store) -> tuple[_Known, ...]:
    noted = store.recall(_known_key(inputs))
    try:
        return msgspec.json.decode(noted, type=tuple[_Known, ...]) if noted else ()
    except msgspec.DecodeError:
        return ()  # a damaged note loses time, not truth


def _known_key(inputs: Installation) -> Digest:
    return digest_of(["plain", INSTALL.version, msgspec.structs.replace(inputs, packages=())])


def _identity(package: Package) -> str:
    """Tell packages apart by all that the tree shows of them."""
    return f"{package.sha256}{'' if package.requested else ' auto'}"


def tree_of(digest: Digest, store: Store) -> Path:
    """Give the folder of a tree that an earlier stage has made."""
    tree = store.tree(digest)
    if tree is None:
        raise StageError("the tree to work on is gone", hint="run the same command again")
    return tree


INSTALL = Stage("install", 9, install, Tree, tree_held)
