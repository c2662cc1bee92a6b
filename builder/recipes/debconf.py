"""Answers for debconf, held against the packages that a recipe installs."""

from builder.distros import TABLE
from builder.model.errors import RecipeError
from builder.model.lock import BASE, Lock
from builder.recipes.loaded import LoadedRecipe


def selections(loaded: LoadedRecipe, lock: Lock) -> tuple[str, ...]:
    """Give a recipe's answers; one that nobody will ask for is a RecipeError."""
    lines = loaded.recipe.debconf.selections
    if lines and TABLE[lock.asked.distro].module.startswith("builder.distros.rpm"):
        raise RecipeError(
            f"packages of {lock.asked.distro} ask nothing: debconf is Debian's",
            at=loaded.source.key("debconf"),
            hint="write their configuration as files of the overlay",
        )
    layers = {package.name: package.layer for package in lock.packages}
    for index, line in enumerate(lines):
        name = line.split(maxsplit=1)[0]
        if layers.get(name) != loaded.name:
            raise RecipeError(
                f"this recipe does not install the package `{name}`",
                at=loaded.source.value("debconf", "selections", index),
                hint=_hint(name, layers, loaded.name, lock.asked.distro),
            )
    return lines


def _hint(name: str, layers: dict[str, str], ours: str, distro: str) -> str | None:
    from builder.model.toml.diagnostics import did_you_mean

    if layers.get(name) == BASE:
        return f"the smallest {distro} has it already; configure it in a script"
    if name in layers:
        return f"`{layers[name]}` does, and configures it: say it there"
    return did_you_mean(name, [one for one, layer in layers.items() if layer == ours])
