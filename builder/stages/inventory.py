"""Inventory: which packages a tree has, as its own package manager tells."""

import msgspec

from builder.model.errors import HostError
from builder.model.manifest import InstalledPackage
from builder.model.value import Digest, canonical, digest_of
from builder.stages.tools import Tools

# What a lock names is what a build brings. Scripts of the recipe may remove some of it and install
# more, and a tarball brings what nobody has locked; so the tree is asked once it is whole.

_VERSION = 1
"""Raised when the same tree comes to be read in another way."""


def take_inventory(tree: Digest, tools: Tools, *, known: bool) -> tuple[InstalledPackage, ...]:
    """Read the packages of a tree of the store, by name; what was read before is remembered.

    HostError for tables that cannot be read; unless the distribution is `known`, they are not.
    """
    key = digest_of(["inventory", _VERSION, tree])
    if (kept := tools.store.recall(key)) is not None:
        return msgspec.json.decode(kept, type=tuple[InstalledPackage, ...])
    try:
        found = _read(tree, tools)
    except HostError:
        if known:
            raise
        return ()
    tools.store.remember(key, canonical(found))
    return found


def _read(tree: Digest, tools: Tools) -> tuple[InstalledPackage, ...]:
    from builder.distros.package_manager import package_manager  # few builds change anything
    from builder.host.overlayfs.layered import Layers
    from builder.stages.install import tree_of

    with Layers((), tree_of(tree, tools.store)) as layers:
        rows = package_manager(layers).installed(layers.below).values()
    return tuple(
        InstalledPackage(name=one.name, version=version, arch=one.arch)
        for one in sorted(rows, key=lambda one: (one.name, one.arch))
        for version in one.version.split(", ")  # kernels, of which there may be several
    )
