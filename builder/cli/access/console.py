"""`oven console`: a container's own terminal, with its login prompt."""

import os

import click

from builder.cli.session import places_of


@click.command()
@click.argument("name")
def console(name: str) -> None:
    """Join the console of a running container; Ctrl-] leaves it.

    Where input is no terminal the console is only shown. Several people may be there at once.
    """
    from builder.runtime.access.console import attach

    if os.isatty(0):
        click.echo(f"the console of {name}; Enter shows a prompt, Ctrl-] leaves", err=True)
    if attach(places_of(name), name):
        click.echo(f"\nleft the console of {name}; it goes on", err=True)
    else:
        click.echo(f"\ncontainer {name} has ended", err=True)
