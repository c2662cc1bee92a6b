"""Outdated: which locked recipes would become other templates today."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from builder.distros.changes import Changes, changes
from builder.distros.versions import order_of
from builder.host.programs import Runner
from builder.model.errors import OvenError, RecipeError
from builder.model.lock import Lock
from builder.model.recipe import Arch
from builder.recipes.find import KINDS, files_in
from builder.recipes.loaded import LoadedRecipe
from builder.recipes.lock_files import LockFiles, lock_path, read_lock
from builder.recipes.request import base_of


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found out about a recipe: what would change, or why nobody can tell."""

    recipe: str
    arch: str | None
    """None when the recipe cannot even be read."""
    lock: Path | None
    changes: Changes | None = None
    error: OvenError | None = None

    @property
    def outdated(self) -> bool:
        """Whether a build that takes today's packages would make another template."""
        return self.changes is not None and self.changes.matter


def recipes_here(folder: Path) -> tuple[str, ...]:
    """Give the paths of all recipes and appliances of the project in a folder."""
    return tuple(str(path) for kind in KINDS for path in files_in(folder / kind))


def locks_of(loaded: LoadedRecipe, cache: Path) -> dict[Arch, Path]:
    """Give the locks that a recipe has: those beside it, then those of builds without one.

    Raises RecipeError when one beside it is damaged.
    """
    found: dict[Arch, Path] = {}
    arches = base_of(loaded).arch
    for arch in arches:
        beside = lock_path(loaded.lock, arch, arches)
        if beside.exists():
            found[read_lock(beside).asked.arch] = beside
    for arch in arches:
        files = LockFiles(name=loaded.name, committed=loaded.lock, cache=cache)
        path = files.of_build(arch)
        if path.exists():
            found.setdefault(arch, path)
    return found


def judge(recipe: str, path: Path, resolve: Callable[[], Lock], run: Runner) -> Verdict:
    """Resolve anew and compare with a lock; an error becomes part of the verdict."""
    arch = None
    try:
        old = read_lock(path)
        arch = old.asked.arch
        new = resolve()
        return Verdict(recipe, arch, path, changes=changes(old, new, order_of(new, run)))
    except OvenError as error:
        return Verdict(recipe, arch, path, error=error)


def never_locked(loaded: LoadedRecipe) -> RecipeError:
    """Make the error for a recipe of which nobody knows what it was."""
    return RecipeError(
        f"`{loaded.name}` has no lock, and was never built here",
        at=loaded.path,
        hint=f"`oven lock {loaded.name}` makes one",
    )
