"""Loaded recipes: what a recipe file says, and where all that belongs to it lies."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from builder.model.interface import Json
from builder.model.recipe import Recipe
from builder.model.toml.source import Source
from builder.recipes.project import Project, project_of


@dataclass(frozen=True, slots=True)
class LoadedRecipe:
    """A recipe, and where all that belongs to it lies; none of the paths but `path` must exist."""

    recipe: Recipe
    source: Source
    """Its text: `source.value("packages", "install", 0)` is a place for an error."""
    folder: Path
    """Holds `overlay/` and the scripts."""
    lock: Path
    base: "LoadedRecipe | None" = None
    """The OS recipe that an appliance stands on."""
    answers: Mapping[str, Json] | None = None
    """All values of its parameters, where the template itself is to have them: then it is for one
    purpose, and asks for nothing."""

    @property
    def name(self) -> str:
        """The name of the template that it makes."""
        return self.recipe.template.name

    @property
    def path(self) -> Path:
        """Its TOML file."""
        return self.source.path

    @property
    def project(self) -> Project:
        """All that it may read."""
        return project_of(self.path)
