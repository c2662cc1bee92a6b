"""`-v`: show every command that is run, before the verb or after it."""

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from builder.host.programs import Command


class _Shown:
    """Prints commands, and what the author's own programs say."""

    def __call__(self, command: "Command", /) -> None:
        click.echo(f"+ {command}", err=True)

    def said(self, text: str, /) -> None:
        from builder.model.visible import visible

        for line in text.splitlines():
            click.echo(f"  {visible(line)}", err=True)


def _watch(ctx: click.Context, param: click.Parameter, value: bool) -> None:  # noqa: ARG001, FBT001  # click's signature
    if value:
        from builder.host.programs import watch_commands

        watch_commands(_Shown())


verbose = click.option(
    "-v",
    "--verbose",
    is_flag=True,
    expose_value=False,
    callback=_watch,
    help="Show every command that is run, and what packages and scripts say.",
)
