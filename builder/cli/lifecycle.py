"""`oven start`, `stop` and `destroy`."""

import sys

import click

from builder.cli.verbose import verbose
from builder.host.places import Places
from builder.host.privilege import require_root

NAMES = click.argument("names", metavar="NAME...", nargs=-1, required=True)


@click.command()
@NAMES
@verbose
def start(names: tuple[str, ...]) -> None:
    """Start containers and wait until each is ready."""
    require_root("oven start")
    for name in names:
        start_and_tell(Places.of_user(), name)


@click.command()
@NAMES
@click.option(
    "-t", "--time", "seconds", default=90.0, show_default=True, help="Kill it after so long."
)
@verbose
def stop(names: tuple[str, ...], seconds: float) -> None:
    """Stop containers: their init shuts down in its own way, and is killed if it takes too long."""
    require_root("oven stop")
    from builder.runtime import lifecycle

    for name in names:
        lifecycle.stop(Places.of_user(), name, timeout=seconds)
        click.echo(name)


@click.command()
@NAMES
@click.option("-f", "--force", is_flag=True, help="Do not ask, and kill one that runs.")
@verbose
def destroy(names: tuple[str, ...], force: bool) -> None:  # noqa: FBT001  # click's way
    """Remove containers and all that is in them."""
    require_root("oven destroy")
    from builder.runtime import lifecycle
    from builder.runtime.container import load

    places = Places.of_user()
    for name in names:
        if not force and sys.stdin.isatty():
            load(places, name)
            click.confirm(f"remove container `{name}` and all that is in it?", abort=True, err=True)
        lifecycle.destroy(places, name, force=force)
        click.echo(name)


def start_and_tell(places: Places, name: str) -> None:
    """Start a container, wait until it is ready, and print its name and address."""
    from builder.model.progress import Silent
    from builder.runtime import lifecycle

    if sys.stderr.isatty():
        from builder.cli.progress import Waiting

        with Waiting(f"starting {name}"):
            state = lifecycle.start(places, name, Silent())
    else:
        state = lifecycle.start(places, name, Silent())
    click.echo(f"{name}\t{state.address}" if state.address else name)
