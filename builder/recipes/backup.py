"""Backups of a recipe: what is left out is in a volume, and something is kept."""

from builder.model.errors import RecipeError
from builder.model.recipe import Recipe
from builder.model.toml.source import Source
from builder.model.visible import visible
from builder.recipes.loaded import LoadedRecipe
from builder.recipes.request import layers


def check(recipe: Recipe, source: Source) -> None:
    """Hold a recipe's commands and counts against what can be done."""
    keep = recipe.backup.keep
    if keep is not None and not keep.words():
        raise RecipeError(
            "no backup at all would be kept",
            at=source.key("backup", "keep"),
            hint="say how many, such as `keep = { daily = 7, weekly = 4 }`",
        )
    for key, commands in (("before", recipe.backup.before), ("after", recipe.backup.after)):
        for index, one in enumerate(commands):
            if not one.command[0]:
                raise RecipeError(
                    "the command has no program",
                    at=source.value("backup", key, index, "command"),
                    hint='such as `command = ["/usr/bin/notes-dump"]`',
                )


def check_joined(loaded: LoadedRecipe) -> None:
    """Hold what is left out against the volumes of a recipe and those that it inherits."""
    places = [one.place for layer in layers(loaded) for one in layer.recipe.volume if one.backup]
    for index, path in enumerate(loaded.recipe.backup.exclude):
        if not any(path.startswith(f"{place}/") for place in places):
            raise RecipeError(
                f"`{visible(path)}` is in no volume that is backed up",
                at=loaded.source.value("backup", "exclude", index),
                hint=f"volumes are at {', '.join(f'`{one}`' for one in places)}"
                if places
                else "`[[volume]]` says what instances keep",
            )
