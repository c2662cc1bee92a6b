"""Customize: a tree and what a recipe adds to it besides packages, made into a new tree."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from builder.appliance.variables import Variables
from builder.host.trees.durable import disk_errors
from builder.model.interface import Json
from builder.model.recipe.content import Group, Services, System, User
from builder.model.rights import FileRights
from builder.model.value import Digest, Value
from builder.stages.fetch_files import FetchedFile
from builder.stages.install import tree_of
from builder.stages.stage import Stage, Tree, tree_held
from builder.stages.tools import Tools
from builder.stages.tree.first_boot import FirstBootProgram
from builder.stages.tree.overlay import OverlayEntry
from builder.stages.tree.scripts import GivenFile, ScriptFile

if TYPE_CHECKING:
    from builder.distros.buildroot import Kitchen


class Customization(Value, frozen=True, kw_only=True):
    """All that decides what the new tree is."""

    tree: Digest
    """What to add to."""
    sources: Mapping[str, bytes] = {}
    """What the tree's package manager is told of further archives, by path."""
    hold: tuple[str, ...] = ()
    """Packages that the tree's package manager leaves as they are from now on."""
    overlay: tuple[OverlayEntry, ...] = ()
    """From `read_overlay`."""
    inherited: tuple[str, ...] = ()
    """The overlay paths of the layers below, which cleaning must leave alone as well."""
    groups: tuple[Group, ...] = ()
    users: tuple[User, ...] = ()
    files: tuple[FileRights, ...] = ()
    services: Services = Services()
    system: System | None = None
    fetched: tuple[FetchedFile, ...] = ()
    """From `fetch_files`."""
    secrets: tuple[str, ...] = ()
    """Names of what the scripts see; what is in them is no input."""
    scripts: tuple[ScriptFile, ...] = ()
    """From `read_scripts`."""
    given: tuple[GivenFile, ...] = ()
    """From `read_given`."""
    first_boot: tuple[FirstBootProgram, ...] = ()
    """From `read_first_boot`."""
    renderer: str = ""
    """The version of what renders templates, if there are any."""
    variables: Variables
    """What templates and scripts see; parameters with their final values."""
    epoch: int
    """Seconds since 1970 that no time in the tree exceeds."""

    @property
    def laid(self) -> tuple[str, ...]:
        """The paths that the author wants to have there."""
        overlay = tuple(entry.path for entry in self.overlay)
        return (*overlay, *(file.path for file in self.fetched if not file.extract))

    @property
    def nothing(self) -> bool:
        """Whether there is nothing to do."""
        asked: tuple[object, ...] = (
            self.sources,
            self.hold,
            self.overlay,
            self.fetched,
            self.groups,
            self.users,
            self.files,
            self.system,
            self.scripts,
            self.first_boot,
        )
        return not any(asked) and self.services == Services()


def customize(inputs: Customization, tools: Tools) -> Tree:
    """Make the tree; errors about the overlay name files relative to the recipe's folder."""
    from builder.distros.buildroot import Kitchen, opened  # a build that changes nothing has no use
    from builder.host.overlayfs.fold import fold
    from builder.host.trees.treeio import TreeIO
    from builder.stages.fetch_files import lay_files
    from builder.stages.tree.accounts import add_groups, add_users, homes_in
    from builder.stages.tree.first_boot import lay_first_boot
    from builder.stages.tree.overlay import apply_overlay, render_overlay, without_blank
    from builder.stages.tree.rights import set_rights
    from builder.stages.tree.sources import hold_packages, lay_sources
    from builder.stages.tree.system import set_services, set_system

    store = tools.store
    lower, base = tree_of(inputs.tree, store), inputs.variables.base
    rendered = render_overlay(inputs.overlay, inputs.variables, store)
    overlay = without_blank(inputs.overlay, rendered)
    with disk_errors(store.root), store.draft() as draft:
        kitchen = Kitchen(draft, store, base["arch"], base["suite"], inputs.epoch, lower)
        with opened(lower, kitchen) as (view, run), TreeIO(view) as tree:
            lay_sources(inputs.sources, tree)
            hold_packages(inputs.hold, run)
            add_groups(inputs.groups, tree, run)
            add_users(inputs.users, tree, run)
            apply_overlay(tree, overlay, rendered, store, homes=homes_in(tree, inputs.users))
            lay_files(inputs.fetched, tree, store, draft)
            set_rights(inputs.files, tree)
            set_system(inputs.system, tree, run)
        scripts = _Scripts(inputs, kitchen, lower, tools)
        scripts.run(before_services=True)
        with opened(lower, kitchen) as (view, run), TreeIO(view) as tree:
            set_services(inputs.services, tree, run)
        scripts.run(before_services=False)
        with opened(lower, kitchen) as (view, _), TreeIO(view) as tree:
            lay_first_boot(inputs.first_boot, tree, store, _asked_for(inputs))
        _clean(inputs, kitchen, lower)
        fold(lower, kitchen.upper, kitchen.tree)
        return Tree(store.keep_tree(kitchen.tree, epoch=inputs.epoch, base=inputs.tree))


@dataclass(frozen=True, slots=True)
class _Scripts:
    """A recipe's scripts, which see secrets of which nothing may stay."""

    inputs: Customization
    kitchen: "Kitchen"
    lower: Path
    tools: Tools

    def run(self, *, before_services: bool) -> None:
        """Run those that have their turn then."""
        from builder.distros.buildroot import opened
        from builder.host.sandbox.sandbox import SandboxBind
        from builder.stages.tree import secrets as hiding
        from builder.stages.tree.scripts import SCRIPTS, lay_out_scripts, run_scripts

        inputs, kitchen = self.inputs, self.kitchen
        some = tuple(one for one in inputs.scripts if one.before_services == before_services)
        if not some:
            return
        folder = kitchen.draft / ("early-scripts" if before_services else "scripts")
        folder.mkdir()
        lay_out_scripts(inputs.scripts, inputs.given, self.tools.store, folder)
        secrets = hiding.chosen(inputs.secrets, self.tools.secrets)
        hidden = {f"{hiding.FOLDER}/{name}": value for name, value in secrets.items()}
        with (
            opened(self.lower, kitchen, SandboxBind(folder, SCRIPTS), hidden=hidden) as (_, run),
            hiding.masked(secrets),
        ):
            run_scripts(some, run, _environment(inputs.variables), secrets)
        hiding.refuse_traces(kitchen.upper, secrets)


def _clean(inputs: Customization, kitchen: "Kitchen", lower: Path) -> None:
    """Take away what no template may carry, but for what the author wants."""
    from builder.distros.buildroot import opened
    from builder.host.trees.treeio import TreeIO
    from builder.stages.tree.changed import tell_changed
    from builder.stages.tree.clean import clean

    with opened(lower, kitchen) as (view, _), TreeIO(view) as tree:
        mine, who = set(inputs.laid), f"`{inputs.variables.template['name']}`"
        tell_changed(set(inputs.inherited) - mine, lower, tree, who)
        clean(tree, epoch=inputs.epoch, keep=_asked_for(inputs))


def _asked_for(inputs: Customization) -> set[str]:
    return {*inputs.inherited, *inputs.laid}


def _environment(variables: Variables) -> dict[str, str]:
    from builder.stages.tree.scripts import script_environment

    groups: dict[str, Mapping[str, Json]] = {
        "parameters": variables.parameters,
        "template": variables.template,
        "base": variables.base,
    }
    return script_environment(groups)


CUSTOMIZE = Stage("customize", 12, customize, Tree, tree_held)
