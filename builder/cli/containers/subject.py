"""Whom a command is about: an appliance here, by name or path, or a local template of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from builder.model.errors import NotFoundError
from builder.model.interface import Interface, Json

if TYPE_CHECKING:
    from builder.model.recipe import Port
    from builder.recipes.loaded import LoadedRecipe


@dataclass(frozen=True)
class Subject:
    """An appliance as its users see it."""

    name: str
    summary: str
    interface: Interface
    ports: "tuple[Port, ...]"
    kept: Mapping[str, Json] = field(default_factory=dict)
    """What an instance was answered before."""


def find(name: str) -> Subject:
    """Find an appliance: the template of that name, which is what runs, else the recipe."""
    if "/" not in name and (found := _of_template(name)) is not None:
        return found
    try:
        return _of_recipe(name)
    except NotFoundError as error:
        raise NotFoundError(
            f"there is no template and no appliance `{name}`",
            hint="`oven template list` and `oven recipe list` show what there is",
        ) from error


def find_instance(name: str) -> Subject | None:
    """Find an instance with what it was told; None where no container of that name is one."""
    from builder.cli.session import seen_places
    from builder.runtime.record import instances
    from builder.runtime.record.container import NAME, load
    from builder.templates.local import Templates

    places = seen_places()
    told = instances.read(places, name) if NAME.fullmatch(name) else None
    if told is None:
        return None
    template = Templates(places.data).known(load(places, name).template)
    if template is None:
        return None
    manifest = template.manifest
    given = told.answers.given
    return Subject(name, manifest.summary, manifest.interface, manifest.ports, given)


def _of_template(name: str) -> Subject | None:
    from builder.cli.session import seen_places
    from builder.templates.local import Templates

    try:
        template = Templates(seen_places().data).find(name)
    except NotFoundError:
        return None
    manifest = template.manifest
    return Subject(name, manifest.summary, manifest.interface, manifest.ports)


def _of_recipe(name: str) -> Subject:
    from builder.recipes.interface import interface_of
    from builder.recipes.load import load, load_file

    path = Path(name)
    loaded: LoadedRecipe = (
        load_file(path / "appliance.toml") if path.is_dir() and "/" in name else load(name)
    )
    recipe = loaded.recipe
    return Subject(loaded.name, recipe.template.summary, interface_of(loaded), recipe.port)
