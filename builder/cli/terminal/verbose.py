"""`-v`: show every command that is run, before the verb or after it."""

import click


def _watch(ctx: click.Context, param: click.Parameter, value: bool) -> None:  # noqa: ARG001, FBT001  # click's signature
    if value:
        from builder.host.programs import watch_commands

        watch_commands(lambda command: click.echo(f"+ {command}", err=True))


verbose = click.option(
    "-v",
    "--verbose",
    is_flag=True,
    expose_value=False,
    callback=_watch,
    help="Show every command that is run.",
)
