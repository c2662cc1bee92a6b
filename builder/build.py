"""The whole of a build, top to bottom: the file to read first.

Above the lock, Oven may ask the network what there is; below it, a stage uses only bytes that the
lock names. Each `make` is one remembered step, and what it is given is all that it depends on.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from builder import __version__
from builder.formats.overlay import Variables, errors_below, read_overlay
from builder.model.lock import Layer, Package
from builder.model.manifest import InstalledPackage, Manifest
from builder.model.value import Digest, digest_of
from builder.stages.bootstrap import BOOTSTRAP, bootstrap_inputs
from builder.stages.customize import CUSTOMIZE, Customization
from builder.stages.fetch import fetch
from builder.stages.load import LoadedRecipe
from builder.stages.order import Order, base_of, layers
from builder.stages.pack import PACK, Packed, pack_inputs
from builder.stages.scripts import read_scripts
from builder.stages.stage import make
from builder.stages.tools import Tools


@dataclass(frozen=True, slots=True)
class Built:
    """A template in the store, packed."""

    manifest: Manifest
    packed: Packed


def build(
    order: Order, mirrors: Mapping[str, tuple[str, ...]], tools: Tools, *, driver: str
) -> Built:
    """Turn a locked recipe into a packed template; what was made before is kept.

    `mirrors` has the URLs of each archive, and `driver` is the bootstrap's: `native` or
    `debootstrap`.
    """
    fetch(order.lock.packages, mirrors, tools, recipe=order.name)
    inputs = bootstrap_inputs(order.lock, driver, tools.run)
    tree = make(BOOTSTRAP, inputs, tools, slot=f"{order.slot}/{inputs.suite}").tree
    inherited: tuple[str, ...] = ()
    for layer, loaded in zip(LAYERS, layers(order.loaded), strict=False):
        added = customization(tree, layer, loaded, order, tools)
        added = msgspec.structs.replace(added, inherited=inherited)
        with errors_below(loaded.folder):
            tree = make(CUSTOMIZE, added, tools, slot=f"{order.slot}/{loaded.name}").tree
        inherited += tuple(entry.path for entry in added.overlay)
    manifest = describe(order)
    packed = make(PACK, pack_inputs(tree, manifest), tools, slot=f"{order.slot}/{order.name}")
    return Built(manifest=manifest, packed=packed)


LAYERS: tuple[Layer, ...] = ("template", "appliance")
"""What is laid on the base: first the OS recipe's own, then the appliance's."""


def customization(
    tree: Digest, layer: Layer, loaded: LoadedRecipe, order: Order, tools: Tools
) -> Customization:
    """Gather all that decides what a layer makes of the tree below it."""
    recipe, base = loaded.recipe, base_of(loaded)
    return Customization(
        tree=tree,
        packages=_of_layer(order.lock.packages, layer),
        overlay=read_overlay(loaded.overlay, tools.store),
        users=recipe.user,
        services=recipe.services,
        system=recipe.system,
        scripts=read_scripts(recipe.script, loaded.folder, tools.store),
        variables=Variables(
            parameters={name: one.default for name, one in recipe.parameters.items()},
            template={"name": recipe.template.name, "summary": recipe.template.summary},
            base={"distro": base.distro, "suite": base.suite, "arch": order.arch},
        ),
        epoch=order.lock.epoch,
    )


def describe(order: Order) -> Manifest:
    """Say what the template is and what it was made from."""
    recipe, base = order.loaded.recipe, base_of(order.loaded)
    return Manifest(
        name=recipe.template.name,
        summary=recipe.template.summary,
        distro=base.distro,
        suite=base.suite,
        arch=order.arch,
        epoch=order.lock.epoch,
        recipe=digest_of([one.recipe for one in layers(order.loaded)]),
        lock=digest_of(order.lock),
        packages=tuple(
            InstalledPackage(name=one.name, version=one.version, arch=one.arch)
            for one in order.lock.packages
        ),
        parameters=recipe.parameters,
        ports=recipe.port,
        oven=__version__,
    )


def _of_layer(packages: tuple[Package, ...], layer: Layer) -> tuple[Package, ...]:
    return tuple(package for package in packages if package.layer == layer)
