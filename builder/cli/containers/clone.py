"""`oven clone` and `oven rename`."""

import click

from builder.cli.session import places_of
from builder.cli.terminal.verbose import verbose


@click.command()
@click.argument("name")
@click.argument("new")
@click.option("--snapshot", metavar="SNAP", help="Clone what it was then, instead of now.")
@click.option(
    "-p",
    "--publish",
    multiple=True,
    metavar="[ADDRESS:]HOST:PORT[/udp]",
    help="Lead a port of the host to the clone; none are taken over.",
)
@verbose
def clone(name: str, new: str, snapshot: str | None, publish: tuple[str, ...]) -> None:
    """Make a new container of one that is there, running or not; the new one is stopped.

    It has a machine-id, an address, ssh host keys and a name of its own, and so have instances of
    appliances their secrets.
    """
    from builder.distros.identity import forget_identity
    from builder.model.network import parse_ports
    from builder.runtime.bundle import pending
    from builder.runtime.history import clone as cloning

    places = places_of(name)
    ports = tuple(port for text in publish for port in parse_ports(text))
    wanted = cloning.CloneRequest(new, ports, snapshot)
    made = cloning.clone(places, name, wanted, forget_identity)
    click.echo(made.name)
    if pending.is_instance(places, made.name):
        from builder.cli.containers.instance import tell_renewed

        tell_renewed(places, made)


@click.command()
@click.argument("name")
@click.argument("new")
@verbose
def rename(name: str, new: str) -> None:
    """Call a stopped container something else."""
    from builder.runtime.history.clone import rename as give_name

    give_name(places_of(name), name, new)
    click.echo(new)
