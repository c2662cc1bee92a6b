"""`oven logs`: what a container says."""

import click

from builder.cli.session import places_of
from builder.cli.terminal.moments import SINCE
from builder.cli.terminal.verbose import verbose


@click.command()
@click.argument("name")
@click.option("-f", "--follow", is_flag=True, help="Go on as new lines come.")
@click.option(
    "-n",
    "--lines",
    "count",
    type=click.IntRange(0),
    metavar="N",
    help="Show only the last so many.",
)
@SINCE
@click.option(
    "-j", "--journal", is_flag=True, help="Show the journal, also of one that does not run."
)
@click.option("-u", "--unit", metavar="UNIT", help="Show the journal of one systemd unit.")
@verbose
def logs(
    name: str,
    follow: bool,  # noqa: FBT001  # click's way
    count: int | None,
    since: float | None,
    journal: bool,  # noqa: FBT001
    unit: str | None,
) -> None:
    """Show what a container wrote to its console, or its journal."""
    from builder.runtime.access import logs as runtime_logs

    wanted = runtime_logs.LogRange(since=since or 0, count=count, follow=follow)
    places = places_of(name)
    if journal or unit:
        from builder.runtime.access import journal as journal_of

        lines = journal_of.read(places, name, wanted, unit)
    else:
        lines = runtime_logs.console(places, name, wanted)
    for line in lines:
        click.echo(line)
