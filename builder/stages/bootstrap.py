"""Bootstrap: the locked packages of the base layer become a tree that can install more."""

from collections.abc import Mapping

from builder.distros.debian.bootstrap import Kitchen, bootstrap
from builder.distros.debian.debootstrap import debootstrap
from builder.distros.debian.mirrors import default_mirrors
from builder.distros.debian.sources import PATH as SOURCES
from builder.distros.debian.sources import apt_sources
from builder.distros.debian.unpack import expand
from builder.host.process import Runner, program_version
from builder.host.treeio import TreeIO
from builder.model.errors import RecipeError
from builder.model.lock import Lock, Package
from builder.model.recipe import Arch
from builder.model.value import Value
from builder.stages.clean import clean
from builder.stages.stage import Stage, Tree, tree_held
from builder.stages.tools import Tools

PROGRAMS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "native": (("dpkg-deb", "--version"), ("tar", "--version")),
    "debootstrap": (("debootstrap", "--version"), ("dpkg", "--version"), ("tar", "--version")),
}
"""For each driver the host's programs whose version may show in the tree; others run inside."""


class BaseInputs(Value, frozen=True, kw_only=True):
    """All that decides what the base tree is."""

    packages: tuple[Package, ...]
    """The lock's packages of the layer `base`; the store holds their files."""
    suite: str
    arch: Arch
    driver: str
    """A key of `PROGRAMS`."""
    programs: tuple[str, ...]
    """Versions of the host's programs, as they tell them."""
    epoch: int
    """Seconds since 1970 that no time in the tree exceeds."""
    sources: str = ""
    """What the tree's own apt is told of where packages come from; nothing if it is empty."""


def bootstrap_inputs(lock: Lock, driver: str, run: Runner) -> BaseInputs:
    """Gather the inputs of the stage; raises RecipeError for a driver that does not exist."""
    if driver not in PROGRAMS:
        raise RecipeError(f"unknown bootstrap `{driver}`", hint="there are: native, debootstrap")
    return BaseInputs(
        packages=tuple(package for package in lock.packages if package.layer == "base"),
        suite=lock.asked.suite,
        arch=lock.asked.arch,
        driver=driver,
        programs=tuple(program_version(run, argv) for argv in PROGRAMS[driver]),
        epoch=lock.epoch,
        sources=apt_sources(lock.asked.suite, lock.asked.components, default_mirrors()),
    )


def make_base(inputs: BaseInputs, tools: Tools) -> Tree:
    """Make the tree, without what a build leaves behind."""
    store = tools.store
    packages = expand(inputs.packages, store, jobs=tools.jobs)
    with store.draft() as draft:
        kitchen = Kitchen(draft, store, inputs.arch, inputs.epoch)
        if inputs.driver == "native":
            root = bootstrap(packages, kitchen)
        else:
            root = debootstrap(packages, kitchen, inputs.suite)
        with TreeIO(root) as tree:
            clean(tree, epoch=inputs.epoch)
            if inputs.sources:
                tree.write_bytes(SOURCES, inputs.sources.encode())
        return Tree(store.keep_tree(root, epoch=inputs.epoch))


BOOTSTRAP = Stage("bootstrap", 1, make_base, Tree, tree_held)
