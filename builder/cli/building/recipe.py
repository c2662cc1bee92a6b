"""`oven recipe`: what a recipe comes to, and where each value of it was said."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from builder.cli.building.choosing import chosen_cells, only, profile
from builder.cli.terminal.table import table

if TYPE_CHECKING:
    from builder.model.toml.source import Source
    from builder.model.toml.spans import Where
    from builder.recipes.loaded import LoadedRecipe

DEFAULT = "default"


@click.group()
def recipe() -> None:
    """Show recipes as they are built: with all that they include and stand on."""


@recipe.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_(as_json: bool) -> None:  # noqa: FBT001  # click's way
    """List the recipes and appliances that can be built here."""
    from builder.model.errors import OvenError
    from builder.recipes.find import known

    rows = []
    for name in known():
        try:
            found = [one.recipe.template for one in chosen_cells(name, (), ())]
        except OvenError as error:
            rows.append({"name": name, "summary": f"cannot be read: {error.problem}"})
        else:
            rows += [{"name": one.name, "summary": one.summary} for one in found]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    for line in table([(row["name"], row["summary"]) for row in rows]):
        click.echo(line)


@recipe.command()
@click.argument("name", metavar="RECIPE|APPLIANCE")
@profile
@only
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(name: str, profiles: tuple[str, ...], only: tuple[str, ...], as_json: bool) -> None:  # noqa: FBT001
    """Print a recipe as it is built, with the file and line of every value.

    Of a matrix each recipe is printed; --only chooses.
    """
    cells = chosen_cells(name, profiles, only)
    if as_json:
        click.echo(json.dumps([_facts(loaded) for loaded in cells], indent=2))
        return
    for number, loaded in enumerate(cells):
        if len(cells) > 1:
            click.echo(("\n" if number else "") + f"# {loaded.name}")
        for line in _lines(loaded):
            click.echo(line)


def _lines(loaded: "LoadedRecipe") -> Iterator[str]:
    """Write a recipe and, behind a `#` in one column, where each value is from."""
    from builder.model.toml.text import recipe_lines

    lines = list(recipe_lines(_all(loaded), lambda where: _origin(loaded, where)))
    width = max((len(line) for line, remark in lines if remark and len(line) < 60), default=0)
    for line, remark in lines:
        yield f"{line:<{width}}  # {remark}" if remark else line


def _facts(loaded: "LoadedRecipe") -> dict[str, object]:
    values = _all(loaded)
    origins = {".".join(map(str, at)): _origin(loaded, at) for at in _places(values, ())}
    return {"name": loaded.name, "recipe": values, "origins": origins}


def _all(loaded: "LoadedRecipe") -> dict[str, object]:
    """Give what was said and the defaults that count beside it."""
    import msgspec

    from builder.model.toml.text import given

    said = given(loaded.recipe)
    whole = msgspec.json.decode(msgspec.json.encode(loaded.recipe))
    for name in ("base", "packages", "system"):
        if isinstance(table := said.get(name), dict):
            default = {k: v for k, v in whole[name].items() if v is not None}
            said[name] = {**default, **table}
    return said


def _places(value: object, at: "Where") -> Iterator["Where"]:
    if isinstance(value, dict):
        for key, one in value.items():
            yield from _places(one, (*at, key))
    elif isinstance(value, list):
        for index, one in enumerate(value):
            yield from _places(one, (*at, index))
    else:
        yield at


def _origin(loaded: "LoadedRecipe", where: "Where") -> str:
    """Say where a value was said, as `file:line`."""
    from builder.recipes.compose import Composite

    source: Source = loaded.source
    place = where
    while isinstance(source, Composite) and source.origin(place)[0] is not source:
        source, place = source.origin(place)
    while place and isinstance(place[-1], int) and not source.has(*place):
        place = place[:-1]  # an item of what was said in another way
    if not source.has(*place):
        return DEFAULT
    span = source.value(*place)
    return f"{span.path}:{span.line}"
