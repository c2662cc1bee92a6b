"""`oven volume`: folders that outlive the containers that use them."""

import json
from typing import TYPE_CHECKING

import click
import msgspec

from builder.cli.containers.network import AS_JSON
from builder.cli.session import places_of
from builder.cli.terminal.table import columns, table
from builder.host.places import Places

if TYPE_CHECKING:
    from builder.runtime.storage.volumes import Volume


@click.group()
def volume() -> None:
    """Make, list, show and remove volumes."""


@volume.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
def create(names: tuple[str, ...]) -> None:
    """Make volumes; one that is there stays as it is."""
    from builder.runtime.storage import volumes

    places = places_of()
    for name in names:
        volumes.make(places, name)
        click.echo(name)


@volume.command(name="list")
@AS_JSON
def list_(as_json: bool) -> None:  # noqa: FBT001  # click's way
    """List the volumes, for which instances they were made, and the containers that use them."""
    from builder.runtime.storage import volumes

    found = volumes.every(Places.of_user())
    if as_json:
        click.echo(json.dumps([msgspec.to_builtins(one) for one in found], indent=2))
        return
    rows = [("NAME", "OF", "USED BY")]
    rows += [(one.name, _of(one) or "-", _users(one)) for one in found]
    click.echo("\n".join(table(rows)))


@volume.command()
@click.argument("name")
@AS_JSON
def show(name: str, as_json: bool) -> None:  # noqa: FBT001  # click's way
    """Show where a volume lies, and who uses it."""
    from builder.runtime.storage import volumes

    found = volumes.find(Places.of_user(), name)
    if as_json:
        click.echo(json.dumps(msgspec.to_builtins(found), indent=2))
        return
    rows = [("name", found.name), ("path", str(found.path)), ("used by", _users(found))]
    if of := _of(found):
        rows += [("made for", of), ("schema", str(found.schema))]
    click.echo("\n".join(columns(rows)))


@volume.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
def rm(names: tuple[str, ...]) -> None:
    """Remove volumes and all that is in them."""
    from builder.runtime.storage import volumes

    places = places_of()
    for name in names:
        volumes.remove(places, name)
        click.echo(name)


def _of(one: "Volume") -> str:
    """Tell for which instance a volume was made, and of what."""
    return f"{one.instance} ({one.template})" if one.instance else ""


def _users(one: "Volume") -> str:
    return ", ".join(one.users) or "-"
