"""The whole of a build, top to bottom: the file to read first.

Above the lock, Oven may ask the network what there is; below it, a stage uses only bytes that the
lock names. Each `make` is one remembered step, and what it is given is all that it depends on.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from dataclasses import replace as replace_in

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from builder import __version__
from builder.appliance.variables import Variables
from builder.distros import ArchiveSources, distro
from builder.model.lock import Lock, Package, Removal
from builder.model.manifest import InstalledPackage, Manifest
from builder.model.recipe import Probe
from builder.model.value import Digest, digest_of
from builder.model.volume import VolumeSpec
from builder.recipes.debconf import selections
from builder.recipes.holds import holds
from builder.recipes.interface import offered, values_of
from builder.recipes.loaded import LoadedRecipe
from builder.recipes.repositories import kept
from builder.recipes.request import BuildRequest, base_of, extras_of, layers
from builder.stages.bootstrap import BOOTSTRAP, bootstrap_inputs
from builder.stages.check import CHECK, Check, LeaksError, Step
from builder.stages.customize import CUSTOMIZE, Customization
from builder.stages.fetch import fetch, stale_index_named
from builder.stages.fetch_files import fetch_files
from builder.stages.install import INSTALL, Installation, batches
from builder.stages.inventory import take_inventory
from builder.stages.owners import OWNERS, OwnersCheck
from builder.stages.pack import PACK, Packed, pack_inputs
from builder.stages.stage import make
from builder.stages.tarball import import_of
from builder.stages.tools import Tools
from builder.stages.tree.asked import AskedError
from builder.stages.tree.first_boot import read_first_boot
from builder.stages.tree.overlay import errors_below, renderer_version
from builder.stages.tree.overlay_files import read_overlays
from builder.stages.tree.scripts import read_given, read_scripts
from builder.stages.tree.secrets import MissingSecretError


@dataclass(frozen=True, slots=True)
class Built:
    """A template in the store, packed."""

    manifest: Manifest
    packed: Packed


def build(order: BuildRequest, sources: ArchiveSources, tools: Tools, *, driver: str) -> Built:
    """Turn a locked recipe into a packed template; what was made before is kept.

    `driver` is what makes the base tree, a key of `sources.programs`.
    """
    lock = order.lock
    with stale_index_named(lock.releases):
        fetch(lock.packages, sources.mirrors, tools, recipe=order.name, then=sources.arrived)
    tree = make_lowest(order, sources, tools, driver)
    steps = [Step(tree, layers(order.loaded)[0])]
    inherited: tuple[str, ...] = ()
    for loaded in layers(order.loaded):
        slot = f"{order.slot}/{loaded.name}"
        for part, batch in enumerate(batches(lock, loaded.name, tools.store)):
            removed = lock.removed_by(loaded.name) if part == 0 else ()
            if batch or removed:
                added = installation(tree, batch, lock, sources)
                names = tuple(_named(one, lock) for one in removed)
                added = replace(added, plain=part == 1, inherited=inherited, removed=names)
                if part == 0:  # plain packages ask nothing
                    asked = selections(loaded, lock)
                    added = replace(added, selections=asked, pinned=_pinned(loaded))
                with asked_in(loaded):
                    tree = make(INSTALL, added, tools, slot=f"{slot}/{loaded.name} {part + 1}").tree
                steps.append(Step(tree, loaded))
        with asked_in(loaded):
            changes = customization(tree, loaded, order, tools)
        changes = replace(changes, inherited=inherited)
        if not changes.nothing:
            with asked_in(loaded), errors_below(loaded.folder):
                tree = make(CUSTOMIZE, changes, tools, slot=slot).tree
            steps.append(Step(tree, loaded, changes))
        inherited += changes.laid
        check_volumes(tree, loaded, tools, slot)
    with blamed(steps, tools):
        make(CHECK, checking(tree, order), tools, slot=f"{order.slot}/{order.name}")
    packages = take_inventory(tree, tools, known=lock.asked.known)
    manifest = describe(order, packages)
    packed = make(PACK, pack_inputs(tree, manifest), tools, slot=f"{order.slot}/{order.name}")
    return Built(manifest=manifest, packed=packed)


def make_lowest(order: BuildRequest, sources: ArchiveSources, tools: Tools, driver: str) -> Digest:
    """Make the tree that all else stands on: of packages, or of somebody's tarball."""
    lock = order.lock
    if (tarball := lock.asked.tarball) is not None:
        return import_of(tarball, layers(order.loaded)[0], tools, slot=order.slot)
    inputs = bootstrap_inputs(lock, sources, driver, tools.run)
    inputs = replace(inputs, extras=extras_of(order.loaded))
    return make(BOOTSTRAP, inputs, tools, slot=f"{order.slot}/{inputs.suite}").tree


def check_volumes(tree: Digest, loaded: LoadedRecipe, tools: Tools, slot: str) -> None:
    """See that the owners of a recipe's volumes are there, with the numbers that it says."""
    if volumes := loaded.recipe.volume:
        with asked_in(loaded):
            make(OWNERS, OwnersCheck(tree=tree, volumes=volumes), tools, slot=slot)


@contextmanager
def asked_in(loaded: LoadedRecipe) -> Iterator[None]:
    """Have an error about what a recipe asks for say where it does."""
    try:
        yield
    except MissingSecretError as error:
        names = [secret.name for secret in loaded.recipe.secret]
        error.at = loaded.source.value("secret", names.index(error.name), "name")
        raise
    except AskedError as error:
        error.at = loaded.source.value(*error.where)
        raise


@contextmanager
def blamed(steps: list[Step], tools: Tools) -> Iterator[None]:
    """Have an error about what must not be in a template say who made it."""
    try:
        yield
    except LeaksError as error:
        from builder.stages.blame import explain

        explain(error, steps, tools.store)
        raise


def checking(tree: Digest, order: BuildRequest) -> Check:
    """Gather what the recipes let be in the final tree."""
    allowed = {one.path.strip("/") for each in layers(order.loaded) for one in each.recipe.allow}
    return Check(tree=tree, allowed=tuple(sorted(allowed)))


def installation(
    tree: Digest, batch: tuple[Package, ...], lock: Lock, sources: ArchiveSources
) -> Installation:
    """Gather all that decides what packages make of the tree below them."""
    return Installation(
        tree=tree,
        distro=lock.asked.distro,
        suite=lock.asked.suite,
        arch=lock.asked.arch,
        packages=batch,
        epoch=lock.epoch,
        keys={
            name: known.keys
            for name, known in sources.repositories.items()
            if sources.keys is not None and any(one.archive == name for one in batch)
        },
    )


def customization(
    tree: Digest, loaded: LoadedRecipe, order: BuildRequest, tools: Tools
) -> Customization:
    """Gather all that decides what a recipe makes of the tree below it."""
    recipe, base = loaded.recipe, base_of(loaded)
    cell = {"suite": base.suite, "arch": order.arch}
    overlay = read_overlays(loaded, cell, tools.store)
    return Customization(
        tree=tree,
        sources=repository_files(loaded, order),
        hold=holds(loaded, order.lock),
        overlay=overlay,
        renderer=renderer_version(overlay),
        groups=recipe.group,
        users=recipe.user,
        files=recipe.file,
        services=recipe.services.of_tree(),
        system=recipe.system,
        fetched=fetch_files(recipe.fetch, loaded.source, tools),
        secrets=tuple(secret.name for secret in recipe.secret),
        scripts=read_scripts(recipe.script, loaded.folder, tools.store, loaded.project),
        given=read_given(recipe.script, loaded.folder, tools.store, loaded.project),
        first_boot=read_first_boot(recipe.first_boot, loaded.folder, tools.store, loaded.project),
        variables=Variables(
            parameters=values_of(loaded),
            template={"name": recipe.template.name, "summary": recipe.template.summary},
            base={"distro": base.distro, "suite": base.suite, "arch": order.arch},
        ),
        epoch=order.lock.epoch,
    )


def repository_files(loaded: LoadedRecipe, order: BuildRequest) -> dict[str, bytes]:
    """Write what the template's own package manager is told of a recipe's repositories."""
    asked = order.lock.asked
    found: dict[str, bytes] = {}
    for layer in asked.layers if asked.known else ():
        if layer.recipe == loaded.name:
            found.update(distro(asked.distro).pocket_files(asked, layer))
    for one in kept(loaded, order.arch):
        mine = [row for row in order.lock.releases if row.archive == one.repository.name]
        # Only pins say more than the recipe does, and indexes change often.
        names = tuple(row.known_as or "" for row in mine) if one.repository.priority else ()
        manager = distro(asked.distro)
        found.update(manager.template_files(replace_in(one, known_as=names)))
    return found


def _pinned(loaded: LoadedRecipe) -> tuple[VolumeSpec, ...] | UnsetType:
    """Give the volumes whose owners' numbers a recipe says."""
    every = loaded.recipe.volume
    return tuple(one for one in every if one.uid or one.pinned_gid is not None) or UNSET


def _named(removed: Removal, lock: Lock) -> str:
    """Name a package as its package manager tells it from those of other architectures."""
    foreign = removed.arch in lock.asked.foreign
    return f"{removed.name}:{removed.arch}" if foreign else removed.name


def describe(order: BuildRequest, packages: tuple[InstalledPackage, ...]) -> Manifest:
    """Say what the template is and what it was made from."""
    recipe, base = order.loaded.recipe, base_of(order.loaded)
    return Manifest(
        name=recipe.template.name,
        summary=recipe.template.summary,
        distro=base.distro,
        suite=base.suite,
        arch=order.arch,
        epoch=order.lock.epoch,
        # How a template is tried is no part of it.
        recipe=digest_of([replace(one.recipe, probe=Probe()) for one in layers(order.loaded)]),
        lock=digest_of(order.lock),
        packages=packages,
        tarball=order.lock.asked.tarball,
        interface=offered(order.loaded),
        ports=recipe.port,
        features=tuple(
            dict.fromkeys(
                word for one in layers(order.loaded) for word in one.recipe.container.features
            )
        ),
        oven=__version__,
    )
