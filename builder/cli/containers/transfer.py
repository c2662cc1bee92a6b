"""`oven export` and `oven import`: a whole container as one file."""

import sys
from pathlib import Path

import click

from builder.cli.session import places_of
from builder.cli.terminal.verbose import verbose


@click.command()
@click.argument("name")
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    type=click.Path(path_type=Path, allow_dash=True),
    help="The file to write, by default NAME.oven.tar.zst here; `-` is stdout.",
)
@click.option(
    "--with-template", is_flag=True, help="Pack the template too, for a host that does not have it."
)
@click.option("--no-snapshots", is_flag=True, help="Leave its snapshots out.")
@verbose
def export(
    name: str,
    output: Path | None,
    with_template: bool,  # noqa: FBT001  # click's way
    no_snapshots: bool,  # noqa: FBT001
) -> None:
    """Write a whole container, running or not, to one file, and print the path."""
    from builder.host.trees.durable import disk_errors, draft_of
    from builder.runtime.history.transfer import ExportOptions, export_container

    places = places_of(name)
    packing = ExportOptions(snapshots=not no_snapshots, template=with_template)
    if output == Path("-"):
        if sys.stdout.isatty():
            raise click.UsageError("a container is no text: give a file, or a pipe")
        export_container(places, name, sys.stdout.buffer, packing)
        return
    target = output or Path(f"{name}.oven.tar.zst")
    with disk_errors(target), draft_of(target) as draft:
        with draft.open("wb") as file:
            draft.chmod(0o600)  # it holds passwords and keys
            export_container(places, name, file, packing)
        draft.rename(target)
    click.echo(target)


@click.command(name="import")
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("name", required=False)
@click.option("--as-another", is_flag=True, help="Give it a machine-id and host keys of its own.")
@verbose
def import_(file: Path, name: str | None, as_another: bool) -> None:  # noqa: FBT001  # click's way
    """Make a container of a file that `oven export` wrote; it is stopped. Prints its name."""
    from builder.runtime.history.transfer import import_container

    taken = import_container(places_of(), file, name, as_another=as_another)
    for note in taken.notes:
        click.echo(note, err=True)
    click.echo(taken.container.name)
