"""Customize: a tree and what a recipe adds to it besides packages, made into a new tree."""

from collections.abc import Mapping

from builder.distros.kitchen import Kitchen, opened
from builder.formats.overlay import OverlayEntry, Variables, apply_overlay, render_overlay
from builder.host.files import disk_errors
from builder.host.overlay import fold
from builder.host.sandbox import Bind
from builder.host.treeio import TreeIO
from builder.model.recipe import Services, System, User
from builder.model.value import Digest, Value
from builder.stages.accounts import add_users
from builder.stages.clean import clean, refuse_leaks
from builder.stages.install import tree_of
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


class Customization(Value, frozen=True, kw_only=True):
    """All that decides what the new tree is."""

    tree: Digest
    """What to add to."""
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

    @property
    def nothing(self) -> bool:
        """Whether there is nothing to do."""
        return not (
            self.overlay or self.users or self.system or self.scripts or self.services != Services()
        )


def customize(inputs: Customization, tools: Tools) -> Tree:
    """Make the tree; errors about the overlay name files relative to the recipe's folder."""
    store = tools.store
    lower = tree_of(inputs.tree, store)
    rendered = render_overlay(inputs.overlay, inputs.variables, store)
    with disk_errors(store.root), store.draft() as draft:
        base = inputs.variables.base
        kitchen = Kitchen(
            draft=draft,
            store=store,
            arch=base["arch"],
            suite=base["suite"],
            epoch=inputs.epoch,
            base=lower,
        )
        (draft / "scripts").mkdir()
        lay_out_scripts(inputs.scripts, store, draft / "scripts")
        with (
            opened(lower, kitchen, Bind(draft / "scripts", SCRIPTS)) as (view, run),
            TreeIO(view) as tree,
        ):
            apply_overlay(tree, inputs.overlay, rendered, store)
            add_users(inputs.users, tree, run)
            set_system(inputs.system, tree, run)
            set_services(inputs.services, tree, run)
            run_scripts(inputs.scripts, run, _environment(inputs.variables))
            clean(tree, epoch=inputs.epoch, keep=_asked_for(inputs))
            refuse_leaks(tree)
        fold(lower, kitchen.upper, kitchen.tree)
        return Tree(store.keep_tree(kitchen.tree, epoch=inputs.epoch, base=inputs.tree))


def _asked_for(inputs: Customization) -> set[str]:
    return {*inputs.inherited, *(entry.path for entry in inputs.overlay)}


def _environment(variables: Variables) -> dict[str, str]:
    groups: dict[str, Mapping[str, str | int | bool]] = {
        "parameters": variables.parameters,
        "template": variables.template,
        "base": variables.base,
    }
    return script_environment(groups)


CUSTOMIZE = Stage("customize", 3, customize, Tree, tree_held)
