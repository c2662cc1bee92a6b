"""Customize: a base tree and what a recipe adds to it, made into a new tree."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from builder.distros.debian.install import DEBS, STAND_INS, install, lay_out
from builder.formats.overlay import OverlayEntry, Variables, apply_overlay, render_overlay
from builder.host.files import disk_errors
from builder.host.overlay import fold, overlay, stand_ins
from builder.host.sandbox import Bind, Inside, Sandbox, inside
from builder.host.treeio import TreeIO
from builder.model.errors import StageError
from builder.model.lock import Package
from builder.model.recipe import Services, System, User
from builder.model.value import Digest, Value
from builder.stages.accounts import add_users
from builder.stages.clean import clean, refuse_leaks
from builder.stages.scripts import (
    SCRIPTS,
    ScriptFile,
    lay_out_scripts,
    run_scripts,
    script_environment,
)
from builder.stages.settings import set_services, set_system
from builder.stages.stage import Stage, Tree, tree_held
from builder.stages.tools import Tools

# The base tree is the lower folder of an overlay mount and never changes. Packages, files, users
# and scripts land in the upper one; at the end both are folded into a new tree, in which unchanged
# files are hard links to the base's. A step that fails leaves nothing, for all is in a draft.


class Customization(Value, frozen=True, kw_only=True):
    """All that decides what the new tree is."""

    tree: Digest
    """The base."""
    packages: tuple[Package, ...] = ()
    """What to install: the lock's packages of this layer."""
    overlay: tuple[OverlayEntry, ...] = ()
    """From `read_overlay`."""
    inherited: tuple[str, ...] = ()
    """The overlay paths of the layers below, which cleaning must leave alone as well."""
    users: tuple[User, ...] = ()
    services: Services = Services()
    system: System | None = None
    scripts: tuple[ScriptFile, ...] = ()
    """From `read_scripts`."""
    variables: Variables
    """What templates and scripts see; parameters with their final values."""
    epoch: int
    """Seconds since 1970 that no time in the tree exceeds."""


def customize(inputs: Customization, tools: Tools) -> Tree:
    """Make the tree; errors about the overlay name files relative to the recipe's folder."""
    store = tools.store
    lower = store.tree(inputs.tree)
    if lower is None:
        raise StageError("the base tree is gone", hint="run the same command again")
    rendered = render_overlay(inputs.overlay, inputs.variables, store)
    with disk_errors(store.root), store.draft() as draft:
        for name in ("debs", "scripts"):
            (draft / name).mkdir()
        lay_out(inputs.packages, store, draft / "debs")
        lay_out_scripts(inputs.scripts, store, draft / "scripts")
        with _opened(lower, draft, inputs.epoch) as (tree, run):
            # Before as well: a package may write down a host name that debootstrap left.
            clean(tree, epoch=inputs.epoch, keep=inputs.inherited)
            install(inputs.packages, run)
            apply_overlay(tree, inputs.overlay, rendered, store)
            add_users(inputs.users, tree, run)
            set_system(inputs.system, tree, run)
            set_services(inputs.services, tree, run)
            run_scripts(inputs.scripts, run, _environment(inputs.variables))
            clean(tree, epoch=inputs.epoch, keep=_asked_for(inputs))
            refuse_leaks(tree)
        fold(lower, draft / "upper", draft / "tree")
        return Tree(store.keep_tree(draft / "tree", epoch=inputs.epoch))


def _asked_for(inputs: Customization) -> set[str]:
    return {*inputs.inherited, *(entry.path for entry in inputs.overlay)}


@contextmanager
def _opened(lower: Path, draft: Path, epoch: int) -> Iterator[tuple[TreeIO, Inside]]:
    """Mount the base with an empty layer on top; give a way to its files and one to run in it."""
    root = draft / "merged"
    sandbox = Sandbox(
        root=root,
        binds=(Bind(draft / "debs", DEBS), Bind(draft / "scripts", SCRIPTS)),
        epoch=epoch,
    )
    over = stand_ins(lower, draft / "over", STAND_INS)
    with (
        overlay(lower, draft / "upper", draft / "work", root, over=over),
        TreeIO(root) as tree,
    ):
        yield tree, inside(sandbox)


def _environment(variables: Variables) -> dict[str, str]:
    groups: dict[str, Mapping[str, str | int | bool]] = {
        "parameters": variables.parameters,
        "template": variables.template,
        "base": variables.base,
    }
    return script_environment(groups)


CUSTOMIZE = Stage("customize", 1, customize, Tree, tree_held)
