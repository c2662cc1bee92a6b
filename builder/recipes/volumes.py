"""Volumes of a recipe: each at a place of its own, where data can be."""

from builder.model.errors import RecipeError
from builder.model.recipe import Recipe
from builder.model.toml.source import Source
from builder.model.visible import visible
from builder.model.volume import VolumeSpec, misplaced, overlap
from builder.recipes.loaded import LoadedRecipe
from builder.recipes.request import layers


def check(recipe: Recipe, source: Source) -> None:
    """Hold all volumes against one another and against what is made otherwise."""
    for index, volume in enumerate(recipe.volume):
        before = recipe.volume[:index]
        if volume.name in {one.name for one in before}:
            raise RecipeError(
                f"there are two volumes `{volume.name}`", at=source.value("volume", index, "name")
            )
        _check_place(volume, before, source, index)
        _check_owner(volume, recipe, source, index)


def check_joined(loaded: LoadedRecipe) -> None:
    """Hold the volumes of a recipe against those that it inherits."""
    below = [one for layer in layers(loaded)[:-1] for one in layer.recipe.volume]
    for index, volume in enumerate(loaded.recipe.volume):
        others = tuple(one for one in below if one.name != volume.name)
        _check_place(volume, others, loaded.source, index)


def _check_place(
    volume: VolumeSpec, before: tuple[VolumeSpec, ...], source: Source, index: int
) -> None:
    at = source.value("volume", index, "path")
    if why := misplaced(volume):
        raise RecipeError(
            f"no volume can be at `{visible(volume.path)}`: {why}",
            at=at,
            hint="data belongs below /var/lib or /srv, as in `/var/lib/notes`",
        )
    for one in before:
        if overlap(volume, one):
            raise RecipeError(
                f"the volume `{volume.name}` lies over `{one.name}`, which is at `{one.place}`",
                at=at,
                hint="each folder is kept in one volume",
            )


def _check_owner(volume: VolumeSpec, recipe: Recipe, source: Source, index: int) -> None:
    made = {
        "uid": [one.name for one in recipe.user if not one.existing],
        "gid": [one.name for one in recipe.group],
    }
    for key, name in (("uid", volume.owner), ("gid", volume.group or volume.owner)):
        number = volume.uid if key == "uid" else volume.gid
        if number is not None and name == "root":
            raise RecipeError(
                "`root` has the number 0 everywhere",
                at=source.value("volume", index, key),
                hint="take it out, or say whose the volume is",
            )
        if number is not None and name in made[key]:
            table = "user" if key == "uid" else "group"
            raise RecipeError(
                f"`{name}` is made by `[[{table}]]`, which is where its number belongs",
                at=source.value("volume", index, key),
                hint=f"move `{key} = {number}` there",
            )
