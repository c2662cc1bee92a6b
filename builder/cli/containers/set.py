"""`oven set`: change a container, running or not, at once and for good."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from builder.cli.containers.options import container_options, describe
from builder.cli.session import places_of
from builder.cli.terminal.verbose import verbose
from builder.model.errors import RecipeError

if TYPE_CHECKING:
    from builder.runtime.lifecycle.update import Changed


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
    from builder.runtime.record.layout import folder_of

    places = places_of(name)
    changed = change(places, name, lambda container: describe(container, options), dry=dry_run)
    if dry_run:
        for line in _foretold(changed, folder_of(places, name)):
            click.echo(line)
        return
    if "autostart" in changed.fields:
        from builder.cli.containers.autostart import settle_autostart

        settle_autostart(places)
    if changed.at_start:
        words = " and ".join(changed.at_start)
        click.echo(f"note: {words} will be changed when `{name}` is started again", err=True)
    for sentence in changed.in_use:
        click.echo(f"note: {sentence}", err=True)
    click.echo(name)


def _foretold(changed: "Changed", folder: Path) -> Iterator[str]:
    """Say what would be done, a line each."""
    from builder.runtime.record.layout import IMAGE, RECORD

    yield from (f"{write.path}\t{write.value}" for write in changed.writes)
    if changed.reached:
        yield "rates of its networks, and what of the host it reaches"
    yield from (f"{path}\tgiven" for path in changed.devices.give)
    yield from (f"{path}\ttaken away" for path in changed.devices.take)
    if changed.disk:
        yield f"{folder / IMAGE}\t{changed.container.limits.disk}"
    if changed.fields:
        yield f"{folder / RECORD}\t{', '.join(changed.fields)}"
