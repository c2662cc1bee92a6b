"""Holds: packages that stay as they are, held against those that a template has."""

from builder.distros import TABLE
from builder.model.errors import RecipeError
from builder.model.lock import Lock
from builder.recipes.loaded import LoadedRecipe


def holds(loaded: LoadedRecipe, lock: Lock) -> tuple[str, ...]:
    """Give what a recipe holds; a package that is not there is a RecipeError."""
    from builder.model.toml.diagnostics import did_you_mean

    names = loaded.recipe.packages.hold
    if names and TABLE[lock.asked.distro].packages == "rpm":
        raise RecipeError(
            "packages cannot be held by rpm or dnf alone",
            at=loaded.source.key("packages", "hold"),
            hint="have the overlay bring `exclude=…` for dnf.conf",
        )
    gone = {(one.name, one.arch) for one in lock.removed or ()}
    there = {one.name for one in lock.packages if (one.name, one.arch) not in gone}
    for index, name in enumerate(names):
        # What a tarball brings is in no lock; dpkg is asked when the tree is there.
        if name not in there and lock.asked.tarball is None:
            raise RecipeError(
                f"the template has no package `{name}` to hold",
                at=loaded.source.value("packages", "hold", index),
                hint=did_you_mean(name, sorted(there)) or "add it to `install`",
            )
    return names
