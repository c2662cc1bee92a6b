"""Reading recipes, appliances and settings from disk into checked values."""

import dataclasses
import os
from collections.abc import Iterable
from pathlib import Path

from builder.distros import SUITES, TABLE
from builder.model import settings
from builder.model.errors import NotFoundError, RecipeError
from builder.model.recipe import TARBALL, Recipe
from builder.model.settings import Settings
from builder.model.toml.decode import decode_data, decode_source
from builder.recipes import backup, interface, rules, volumes
from builder.recipes.find import KINDS, Kind, find
from builder.recipes.includes import cells_of, pieces
from builder.recipes.loaded import LoadedRecipe
from builder.recipes.matrix import Chosen
from builder.recipes.reading import read_source
from builder.recipes.repositories import check_repositories

MOST_LAYERS = 32
"""So many recipes may stand on one another."""

WHOLE = Chosen()
"""Nothing is chosen of a recipe: it is taken as it is."""


def load(name: str, kinds: tuple[Kind, ...] = KINDS, *, chosen: Chosen = WHOLE) -> LoadedRecipe:
    """Find, read and check a recipe or appliance with all that it stands on."""
    return load_file(find(name, kinds), chosen)


def load_file(path: Path, chosen: Chosen = WHOLE) -> LoadedRecipe:
    """Read and check the recipe in a file with all that it stands on."""
    return _load_chain(path, (), chosen)


def _load_chain(
    path: Path, above: tuple[LoadedRecipe, ...], chosen: Chosen = WHOLE
) -> LoadedRecipe:
    """Read a recipe and all below it; `above` are those that stand on it."""
    loaded = _load_alone(path, chosen)
    if loaded.recipe.from_ in {None, TARBALL}:
        _check_tarball(loaded, above)
    else:
        base = _load_base(loaded, loaded.recipe.from_, above)
        loaded = dataclasses.replace(loaded, base=base)
    check_repositories(loaded)
    volumes.check_joined(loaded)
    backup.check_joined(loaded)
    return loaded


def load_settings(paths: Iterable[Path]) -> Settings:
    """Read those settings files that exist; a later one wins, key by key."""
    result = Settings()
    for path in paths:
        if not path.exists():
            continue
        source = read_source(path)
        newer = decode_source(source, Settings)
        settings.check(newer, source)
        result = settings.merged(result, newer)
    return result


def _load_alone(path: Path, chosen: Chosen) -> LoadedRecipe:
    data, source = pieces(path, chosen)
    recipe = decode_data(data, source, Recipe)
    rules.check(recipe, source, suites=SUITES)
    interface.check(recipe, source)
    of_appliance = path.name == "appliance.toml"
    loaded = LoadedRecipe(
        recipe=recipe,
        source=source,
        folder=path.parent if of_appliance else path.with_suffix(""),
        lock=_lock_path(path, recipe.template.name, chosen),
    )
    _check_scripts(loaded)
    return loaded


def _lock_path(path: Path, name: str, chosen: Chosen) -> Path:
    """Give each cell of a matrix a lock, and each choice of profiles."""
    if chosen.axes:
        return path.with_name(f"{name}.lock")
    return path.with_name(".".join((path.stem, *chosen.profiles, "lock")))


def _check_scripts(loaded: LoadedRecipe) -> None:
    for index, script in enumerate(loaded.recipe.script):
        file = loaded.folder / script.path
        at = loaded.source.value("script", index, "path")
        if not loaded.project.is_file(file):
            raise RecipeError(
                f"there is no script `{script.path}`", at=at, hint=f"it belongs in `{file}`"
            )
        with loaded.project.opened(file) as fd:
            first = os.pread(fd, 2, 0)
        if first != b"#!":
            raise RecipeError(
                f"the script `{script.path}` does not say what runs it",
                at=at,
                hint="start it with a line such as `#!/bin/sh`",
            )


def _check_tarball(lowest: LoadedRecipe, above: tuple[LoadedRecipe, ...]) -> None:
    """See that nothing is to be installed where nobody knows the distribution."""
    if lowest.recipe.from_ != TARBALL:
        return
    layers = (lowest, *above)
    _check_packages(lowest, layers)
    _check_excludes(layers)
    for arch, tarball in lowest.recipe.tarball.items():
        if tarball.path and not lowest.project.is_file(lowest.folder / tarball.path):
            raise RecipeError(
                f"there is no file `{tarball.path}`",
                at=lowest.source.value("tarball", arch, "path"),
                hint=f"it belongs in `{lowest.folder}`",
            )


def _check_packages(lowest: LoadedRecipe, layers: tuple[LoadedRecipe, ...]) -> None:
    reason = _no_packages(lowest)
    if reason is None:
        return
    for layer in layers:
        asked = layer.recipe.packages
        for key, done in (("install", "installed"), ("remove", "removed"), ("hold", "held")):
            if getattr(asked, key):
                raise RecipeError(
                    f"packages cannot be {done} on a tarball {reason[0]}",
                    at=layer.source.key("packages", key),
                    hint=reason[1],
                )


def _check_excludes(layers: tuple[LoadedRecipe, ...]) -> None:
    for layer in layers:
        for key in ("documentation", "languages"):
            if getattr(layer.recipe.packages, key) is not None:
                raise RecipeError(
                    f"`{key}` is for packages as they are unpacked, and a tarball's are already",
                    at=layer.source.key("packages", key),
                    hint="a script can remove what is not wanted",
                )


def _no_packages(lowest: LoadedRecipe) -> tuple[str, str] | None:
    """Say why nothing can be installed on a tarball, and what to do."""
    by_script = (
        "a script can run the package manager that is in it, without network;"
        " `[[fetch]]` brings the package files"
    )
    if lowest.recipe.base is None:
        say = f'`{lowest.path.name}` can say it: `[base]` with `distro = "debian"` and its `suite`'
        return "of which nobody knows the distribution", f"{say}; or {by_script}"
    if TABLE[lowest.recipe.base.distro].packages == "rpm":
        return "of RPM packages", by_script
    return None


def _load_base(loaded: LoadedRecipe, name: str, above: tuple[LoadedRecipe, ...]) -> LoadedRecipe:
    """Load what a recipe stands on; nothing may stand on itself."""
    at = loaded.source.value("from")
    try:
        path = find(name, beside=loaded.path)
    except NotFoundError as error:
        raise RecipeError(error.problem, at=at, hint=error.hint) from error
    if len(cells_of(path, ())) > 1:
        hint = "give what they share to both with `include`"
        raise RecipeError(f"`{name}` is a matrix, and not one recipe", at=at, hint=hint)
    chain = (*above, loaded)
    if path.resolve() in {one.path.resolve() for one in chain}:
        way = " -> ".join([one.name for one in chain] + [name])
        raise RecipeError(f"`{name}` stands on itself", at=at, hint=f"the way is: {way}")
    if len(chain) == MOST_LAYERS:
        raise RecipeError(f"more than {MOST_LAYERS} recipes stand on one another", at=at)
    return _load_chain(path, chain)
