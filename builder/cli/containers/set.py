"""`oven set`: change a container, running or not, at once and for good."""

import click

from builder.cli.containers.options import container_options, describe
from builder.cli.session import places_of
from builder.cli.terminal.verbose import verbose
from builder.model.errors import RecipeError


@click.command(name="set")
@click.argument("name")
@container_options
@click.option("--dry-run", is_flag=True, help="Only say which files would get which value.")
@verbose
def set_(name: str, dry_run: bool, **options: object) -> None:  # noqa: FBT001  # click's way
    """Change a container, running or not, at once and for good.

    What is not given stays as it is; `none` takes a limit away.
    """
    if all(value in (None, ()) for value in options.values()):
        raise RecipeError("nothing to change", hint="`oven set --help` lists what can be")
    from builder.runtime.lifecycle.update import change
    from builder.runtime.record.layout import RECORD, folder_of

    places = places_of(name)
    changed = change(places, name, lambda container: describe(container, options), dry=dry_run)
    if dry_run:
        for write in changed.writes:
            click.echo(f"{write.path}\t{write.value}")
        if changed.reached:
            click.echo("rates of its networks, and what of the host it reaches")
        if changed.disk:
            click.echo(f"{folder_of(places, name) / 'disk.img'}\t{changed.container.limits.disk}")
        if changed.fields:
            record = folder_of(places, name) / RECORD
            click.echo(f"{record}\t{', '.join(changed.fields)}")
        return
    if "autostart" in changed.fields:
        from builder.cli.containers.autostart import settle_autostart

        settle_autostart(places)
    if changed.at_start:
        words = " and ".join(changed.at_start)
        click.echo(f"note: {words} will be changed when `{name}` is started again", err=True)
    click.echo(name)
