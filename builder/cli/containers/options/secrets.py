"""The option of verbs that make secrets."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from builder.cli.containers.options.groups import Decorator


def options() -> "tuple[Decorator, ...]":
    """Give what click needs to know of it."""
    import click

    return (
        click.option(
            "--secrets-file",
            metavar="FILE",
            help="Write what is shown once to a new file that only you can read.",
        ),
    )
