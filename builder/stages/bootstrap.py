"""Bootstrap: the locked packages of the base layer become a tree that can install more."""

from collections.abc import Mapping

from builder.distros import ArchiveSources, distro
from builder.distros.keys import Keys
from builder.host.programs import Runner, program_version
from builder.model.errors import RecipeError
from builder.model.extras import ALL, Extras
from builder.model.lock import BASE, Lock, Package
from builder.model.recipe import Arch
from builder.model.value import Value
from builder.stages.stage import Stage, Tree, tree_held
from builder.stages.tools import Tools


class BaseInputs(Value, frozen=True, kw_only=True):
    """All that decides what the base tree is."""

    distro: str
    packages: tuple[Package, ...]
    """The lock's packages of the layer `BASE`; the store holds their files."""
    suite: str
    arch: Arch
    driver: str
    """A key of `Sources.programs`."""
    programs: tuple[str, ...]
    """Versions of the host's programs, as they tell them."""
    epoch: int
    """Seconds since 1970 that no time in the tree exceeds."""
    files: Mapping[str, str] = {}
    """Text files by path: what the tree's own package manager is told of mirrors."""
    keys: Keys | None = None
    """What the package files are signed with."""
    extras: Extras = ALL
    """What of the packages comes along; the tree's own package manager keeps to it from then on."""


def bootstrap_inputs(lock: Lock, sources: ArchiveSources, driver: str, run: Runner) -> BaseInputs:
    """Gather the inputs of the stage; raises RecipeError for a driver that does not exist."""
    if driver not in sources.programs:
        known = ", ".join(sources.programs)
        raise RecipeError(
            f"unknown bootstrap `{driver}` of {lock.asked.distro}", hint=f"there is: {known}"
        )
    return BaseInputs(
        distro=lock.asked.distro,
        packages=tuple(package for package in lock.packages if package.layer == BASE),
        suite=lock.asked.suite,
        arch=lock.asked.arch,
        driver=driver,
        programs=tuple(program_version(run, argv) for argv in sources.programs[driver]),
        epoch=lock.epoch,
        files=dict(sources.files),
        keys=sources.keys,
    )


def make_base(inputs: BaseInputs, tools: Tools) -> Tree:
    """Make the tree, without what a build leaves behind."""
    from builder.distros.buildroot import Kitchen  # a build that changes nothing does without
    from builder.host.trees.treeio import TreeIO
    from builder.stages.tree.clean import clean

    store = tools.store
    with store.draft() as draft:
        kitchen = Kitchen(
            draft=draft,
            store=store,
            arch=inputs.arch,
            suite=inputs.suite,
            epoch=inputs.epoch,
            driver=inputs.driver,
            jobs=tools.jobs,
            keys=inputs.keys,
            extras=inputs.extras,
        )
        distro(inputs.distro).install(inputs.packages, kitchen)
        with TreeIO(kitchen.tree) as tree:
            clean(tree, epoch=inputs.epoch)
            for path, text in inputs.files.items():
                tree.write_bytes(path, text.encode())
        used = [package.sha256 for package in inputs.packages]
        return Tree(store.keep_tree(kitchen.tree, epoch=inputs.epoch, packages=used))


BOOTSTRAP = Stage("bootstrap", 8, make_base, Tree, tree_held)
