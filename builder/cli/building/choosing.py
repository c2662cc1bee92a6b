"""Choosing: `--profile` and `--only`, which say what of a recipe file is meant."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from builder.recipes.loaded import LoadedRecipe
    from builder.recipes.matrix import Chosen

AXES = ("suite", "variant")

profile = click.option(
    "--profile", "profiles", metavar="NAME", multiple=True, help="Switch on a profile."
)
only = click.option(
    "--only",
    metavar="AXIS=VALUE",
    multiple=True,
    help="Of a matrix take only these: suite=NAME, variant=NAME.",
)


@dataclass(frozen=True, slots=True)
class WantedTemplate:
    """One template to build."""

    name: str
    """The recipe's, or its path, as a person wrote it."""
    chosen: "Chosen"
    loaded: "LoadedRecipe"
    arch: str | None
    """None for the host's."""

    @property
    def label(self) -> str:
        """What people call it."""
        return f"{self.loaded.name} {self.arch}" if self.arch else self.loaded.name

    def arguments(self) -> tuple[str, ...]:
        """Give the arguments of `oven build` that mean this one alone."""
        axes = self.chosen.axes
        on = [one for one in self.chosen.profiles if one != axes.get("variant")]
        return (
            self.name,
            *(word for one in on for word in ("--profile", one)),
            *(word for axis, value in axes.items() for word in ("--only", f"{axis}={value}")),
            *(("--arch", self.arch) if self.arch else ()),
        )


def wanted_of(
    names: tuple[str, ...], profiles: tuple[str, ...], only: tuple[str, ...], arch: str | None
) -> list[WantedTemplate]:
    """Load all that is wanted; of an architecture `all` stands for each that a recipe has."""
    from builder.recipes.find import find
    from builder.recipes.load import load_file
    from builder.recipes.request import base_of

    wanted = []
    for name in dict.fromkeys(names):
        path = find(name)
        for chosen in choices(name, profiles, only):
            loaded = load_file(path, chosen)
            archs = [str(one) for one in base_of(loaded).arch] if arch == "all" else [arch]
            wanted += [WantedTemplate(name, chosen, loaded, one) for one in archs]
    return wanted


def chosen_cells(
    name: str, profiles: tuple[str, ...], only: tuple[str, ...]
) -> "list[LoadedRecipe]":
    """Load a recipe, or all that are chosen of a matrix."""
    from builder.recipes.find import find
    from builder.recipes.load import load_file

    path = find(name)
    return [load_file(path, chosen) for chosen in choices(name, profiles, only)]


def choices(name: str, profiles: tuple[str, ...], only: tuple[str, ...]) -> "list[Chosen]":
    """Give what is chosen of a recipe file; raises RecipeError when that is nothing."""
    from builder.model.errors import RecipeError
    from builder.recipes.find import find
    from builder.recipes.includes import cells_of

    path = find(name)
    cells = cells_of(path, profiles)
    wanted: dict[str, set[str]] = {}
    for text in only:
        axis, equals, value = text.partition("=")
        if axis not in AXES or not equals:
            raise click.UsageError(f"--only wants suite=NAME or variant=NAME, not `{text}`")
        wanted.setdefault(axis, set()).add(value)
    for axis, values in wanted.items():
        there = {cell.axes[axis] for cell in cells if axis in cell.axes}
        for missing in sorted(values - there):
            problem = f"`{name}` has no {axis} `{missing}`"
            hint = f"there are: {', '.join(sorted(there)) or 'none'}"
            raise RecipeError(problem, at=path, hint=hint)
    found = [
        cell
        for cell in cells
        if all(cell.axes.get(axis) in values for axis, values in wanted.items())
    ]
    if not found:
        raise RecipeError(f"nothing of `{name}` is left", at=path, hint="choose less narrowly")
    return found
