"""The appliance under test: what it says of itself, and the answers that its tests begin with."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from builder.model.errors import NotFoundError, RecipeError
from builder.model.interface import Interface, Json
from builder.model.recipe import Port
from builder.recipes.loaded import LoadedRecipe

_ANSWERS = "answers.toml"
"""In the folder of tests: what the instances of tests are answered."""


UnitState = Literal["enabled", "disabled", "masked"]


@dataclass(frozen=True)
class Appliance:
    """What tests know of the appliance."""

    name: str
    """What its template is called."""
    folder: Path
    """Where its appliance.toml lies."""
    interface: Interface
    ports: tuple[Port, ...]
    units: Mapping[str, UnitState]
    """What its recipe, and those that it stands on, say of units."""
    answers: Mapping[str, Json]
    """What an instance is answered unless a test says otherwise."""

    @property
    def made_up(self) -> tuple[str, ...]:
        """The parameters that get a value of their own where nobody answers."""
        parameters = self.interface.parameters
        return tuple(name for name, one in parameters.items() if one.generate)

    @property
    def tests(self) -> Path:
        """Where its own tests lie, if it has any."""
        return self.folder / "tests"

    def not_allowed(self, what: str, lines: Iterable[str]) -> list[str]:
        """Leave out lines that its tests call harmless.

        `tests/WHAT-allowed` has a regular expression a line; `#` begins a remark.
        """
        file = self.tests / f"{what}-allowed"
        written = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
        patterns = [one for one in written if one.strip() and not one.startswith("#")]
        return [line for line in lines if not any(re.search(one, line) for one in patterns)]


def find(name: str) -> Appliance:
    """Find an appliance by its name or path; an OvenError where there is none."""
    from builder.recipes.find import find as find_file
    from builder.recipes.interface import interface_of
    from builder.recipes.load import load_file

    path = find_file(name, ("appliances",)).absolute()
    if path.name != "appliance.toml":
        raise NotFoundError(
            f"`{path.name}` is no appliance",
            hint="tests are of the folder that an appliance.toml lies in",
        )
    loaded = load_file(path)
    interface = interface_of(loaded)
    return Appliance(
        name=loaded.name,
        folder=path.parent,
        interface=interface,
        ports=loaded.recipe.port,
        units=_units(loaded),
        answers=_answers(path.parent / "tests" / _ANSWERS, interface),
    )


def _units(loaded: LoadedRecipe) -> Mapping[str, UnitState]:
    """Put together what all layers say; the highest decides."""
    from builder.recipes.request import layers

    found: dict[str, UnitState] = {}
    for layer in layers(loaded):
        services = layer.recipe.services
        found |= dict.fromkeys(services.enable, "enabled")
        found |= dict.fromkeys(services.disable, "disabled")
        found |= dict.fromkeys(services.mask, "masked")
    return found


def _answers(file: Path, interface: Interface) -> Mapping[str, Json]:
    """Read the answers of tests, and hold them against the interface."""
    from builder.appliance.answers import chosen, gather
    from builder.appliance.settled import settle
    from builder.recipes.reading import read_source

    found = chosen(gather(interface, files=[read_source(file)] if file.is_file() else []))
    if missing := settle(interface, found).missing:
        raise RecipeError(
            f"the tests have no answer for `{missing[0]}`",
            at=file if file.is_file() else None,
            hint=f"write it into `{file}`",
        )
    return {name: given.value for name, given in found.items() if given.source}
