"""`oven outdated`: which recipes would change today, and how; nothing is built."""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from builder.cli.building.choosing import chosen_cells, profile
from builder.cli.terminal.verbose import verbose
from builder.model.errors import NotFoundError, OvenError

if TYPE_CHECKING:
    from builder.cli.building.workplace import Workplace
    from builder.recipes.outdated import Verdict


@click.command()
@click.argument("names", metavar="[RECIPE|APPLIANCE...]", nargs=-1)
@profile
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with every package.")
@verbose
def outdated(names: tuple[str, ...], profiles: tuple[str, ...], as_json: bool) -> int:  # noqa: FBT001  # click's way
    """Say which locked or built recipes would change today, and which packages of them.

    Without names: all of the current folder's `recipes/` and `appliances/` that have a lock or were
    built. Ends with status 1 when something would change.
    """
    from builder.cli.building.workplace import open_workplace
    from builder.cli.terminal.report import show

    with open_workplace() as work:
        verdicts = list(_verdicts(names, profiles, work))
    if as_json:
        click.echo(json.dumps([_facts(verdict) for verdict in verdicts], indent=2))
    else:
        for line in _lines(verdicts):
            click.echo(line)
    errors = [verdict.error for verdict in verdicts if verdict.error is not None]
    for error in errors:
        show(error)
    if errors:
        return errors[0].exit_code
    return 1 if any(verdict.outdated for verdict in verdicts) else 0


def _verdicts(
    names: tuple[str, ...], profiles: tuple[str, ...], work: "Workplace"
) -> Iterator["Verdict"]:
    from builder.recipes.outdated import Verdict, recipes_here

    chosen = names or recipes_here(Path())
    fresh: set[str] = set()
    found = False
    for name in chosen:
        try:
            for verdict in _of_recipe(name, profiles, work, fresh, required=bool(names)):
                found = True
                yield verdict
        except OvenError as error:
            found = True
            yield Verdict(recipe=name, arch=None, lock=None, error=error)
    if not found:
        raise NotFoundError(
            "no recipe here has a lock or was built",
            hint="go to the folder that holds `recipes/`, or name a recipe",
        )


def _of_recipe(
    name: str, profiles: tuple[str, ...], work: "Workplace", fresh: set[str], *, required: bool
) -> Iterator["Verdict"]:
    """Judge each lock that a recipe has, one for each architecture."""
    from builder.cli.building.workplace import plan_of
    from builder.recipes.outdated import judge, locks_of, never_locked

    cells = chosen_cells(name, profiles, ())
    locks = [
        (loaded, arch, path)
        for loaded in cells
        for arch, path in locks_of(loaded, work.places.cache).items()
    ]
    if required and not locks:
        raise never_locked(cells[0])
    for loaded, arch, path in locks:
        planned = plan_of(loaded, arch, work)
        shared = dataclasses.replace(planned.sources, fresh=fresh)
        planned = dataclasses.replace(planned, sources=shared)
        yield judge(loaded.name, path, planned.resolve, work.tools.run)


def _lines(verdicts: "list[Verdict]") -> Iterator[str]:
    from builder.cli.building.changes import summary, table

    for verdict in verdicts:
        label = f"{verdict.recipe} ({verdict.arch})" if verdict.arch else verdict.recipe
        if verdict.changes is None:
            yield f"{label}: cannot tell"
        elif verdict.outdated:
            yield f"{label}: {summary(verdict.changes)}"
            yield from table(verdict.changes)
        else:
            yield f"{label}: up to date"


def _facts(verdict: "Verdict") -> dict[str, object]:
    import msgspec

    changes, error = verdict.changes, verdict.error
    return {
        "recipe": verdict.recipe,
        "arch": verdict.arch,
        "lock": str(verdict.lock) if verdict.lock else None,
        "outdated": None if changes is None else verdict.outdated,
        "counts": None if changes is None else changes.counts(),
        "changes": None if changes is None else msgspec.to_builtins(changes),
        "error": None if error is None else {"problem": error.problem, "hint": error.hint},
    }
