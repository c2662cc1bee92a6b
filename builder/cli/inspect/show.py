"""`oven list` and `oven show`: what there is."""

import re
import time
from typing import TYPE_CHECKING

import click

from builder.cli.session import seen_places
from builder.host.places import Places
from builder.model.errors import NotFoundError, RecipeError

if TYPE_CHECKING:
    from builder.runtime.inspect.show import ContainerRow, Summary

AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_GLANCE = 0.1
"""Seconds over which `show` looks at how busy a container is."""


@click.command(name="list")
@AS_JSON
@click.option("-q", "--quiet", is_flag=True, help="Print only names.")
@click.option("--running", is_flag=True, help="Leave out those that are stopped.")
@click.option(
    "--format", "pattern", metavar="TEXT", help="Print a line for each, such as `{name} {address}`."
)
def list_(as_json: bool, quiet: bool, running: bool, pattern: str | None) -> None:  # noqa: FBT001
    """List the containers."""
    from builder.runtime.inspect.show import list_containers

    rows = list_containers(seen_places())
    if running:
        rows = tuple(row for row in rows if row.status not in {"stopped", "damaged"})
    if as_json:
        _print_json([_fields(row) for row in rows])
    elif quiet or pattern is not None:
        lines = [row.name if quiet else _filled(pattern or "", row) for row in rows]
        click.echo("".join(f"{line}\n" for line in lines), nl=False)
    else:
        from builder.cli.terminal.table import table

        headings: tuple[str, ...] = ("NAME", "STATUS", "ADDRESS", "TEMPLATE", "PORTS")
        cells = [headings]
        cells += [
            (row.name, _status(row), *map(_word, (row.address, row.template, row.ports)))
            for row in rows
        ]
        click.echo("\n".join(table(cells)))


@click.command()
@click.argument("name")
@AS_JSON
def show(name: str, as_json: bool) -> None:  # noqa: FBT001  # click's way
    """Show one container: what it is, and what it uses of what it may."""
    from builder.runtime.inspect import show as containers
    from builder.runtime.record.layout import RECORD, folder_of

    places = seen_places()
    try:
        found = containers.show(places, name)
    except NotFoundError:
        row = containers.row(places, name)  # there may be something that cannot be read
        if row.status != "damaged":
            raise
    else:
        _show(places, found, as_json=as_json)
        return
    if as_json:
        _print_json(_fields(row))
    else:
        record = folder_of(places, name) / RECORD
        problem = f"{record} cannot be read: {row.problem}"
        _print_lines([("name", name), ("status", "damaged"), ("problem", problem)])


def _show(places: Places, summary: "Summary", *, as_json: bool) -> None:
    from builder.cli.inspect import facts
    from builder.runtime.resources import usage

    name, pid = summary.container.name, summary.pid
    if pid is None or summary.status in {"stopped", "restarting"}:
        used = rates = None
    else:
        with usage.reader(places) as read:
            used, rates = read(name, pid), None
            if not as_json:
                time.sleep(_GLANCE)
                before, used = used, read(name, pid)
                rates = usage.rates(before, used)
    if as_json:
        _print_json(facts.facts(summary, used))
    else:
        _print_lines(facts.told(summary, used, rates))


def _print_json(value: object) -> None:
    import msgspec

    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2))


def _print_lines(lines: list[tuple[str, str]]) -> None:
    from builder.cli.terminal.table import columns

    click.echo("\n".join(columns(lines)))


def _fields(row: "ContainerRow") -> dict[str, object]:
    """Give a row as scripts see it; times as in `show`."""
    import msgspec

    from builder.cli.inspect.facts import moment

    fields: dict[str, object] = msgspec.to_builtins(row)
    for key in ("created", "started"):
        seconds = fields[key]
        fields[key] = moment(seconds) if isinstance(seconds, int) else None
    return fields


def _filled(pattern: str, row: "ContainerRow") -> str:
    fields = _fields(row)

    def value(match: re.Match[str]) -> str:
        if match[1] not in fields:
            raise RecipeError(
                f"there is no field `{match[1]}`", hint=f"there are: {', '.join(fields)}"
            )
        return _word(fields[match[1]])

    return re.sub(r"\{([^{}]*)\}", value, pattern)


def _status(row: "ContainerRow") -> str:
    return f"{row.status}, waits for answers" if row.unanswered else row.status


def _word(value: object) -> str:
    if value is None or value in ([], ()):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
