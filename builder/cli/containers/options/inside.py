"""Options for a command that is run inside of a container."""

from collections.abc import Callable

import click

_OPTIONS = (
    click.option("-t", "--tty", is_flag=True, help="Give CMD a terminal; found out by default."),
    click.option(
        "-u",
        "--user",
        default="root",
        metavar="USER[:GROUP]",
        help="Run CMD as this user; names or numbers.",
    ),
    click.option("-w", "--workdir", default="/", metavar="DIR", help="Run CMD in this folder."),
    click.option(
        "-e",
        "--env",
        multiple=True,
        metavar="NAME[=VALUE]",
        help="Set a variable for CMD; NAME alone passes it on from here.",
    ),
)


def inside(command: Callable[..., object]) -> Callable[..., object]:
    """Add what says how a command is run inside."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
