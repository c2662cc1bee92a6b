"""`oven cp`: files and folders into containers, out of them, and between them."""

import sys
from typing import TYPE_CHECKING

import click

from builder.cli.session import places_of
from builder.cli.terminal.verbose import verbose
from builder.model.visible import visible

if TYPE_CHECKING:
    from builder.host.trees.copying import CopyManner
    from builder.host.trees.treeio import TreeIO

_SHOWN = 20
"""Names of what was left out that are told; then only how many more."""


@click.command()
@click.argument("source", metavar="SOURCE")
@click.argument("target", metavar="TARGET")
@click.option(
    "-a",
    "--archive",
    is_flag=True,
    help="Keep owners by number, set-id bits, devices and `user.` attributes too.",
)
@click.option(
    "--owner", metavar="USER[:GROUP]", help="Whose the copies inside become; root's by default."
)
@verbose
def cp(source: str, target: str, archive: bool, owner: str | None) -> None:  # noqa: FBT001  # click's way
    """Copy a file or folder, as `cp -r` does; one that is in a container is NAME:PATH.

    With `-` in place of a path of the host a tar stream is read from stdin or written to stdout.
    """
    from builder.cli.terminal.lines import reporter
    from builder.model.progress import Silent
    from builder.runtime.access import copying

    left_out: list[tuple[str, str]] = []

    def note(name: str, why: str = "not a file, a folder or a link") -> None:
        left_out.append((name, why))

    quiet = not sys.stderr.isatty()
    with reporter() as report:
        task = (Silent() if quiet else report).begin(f"copying {source}", unit="B")
        wish = copying.CopyOptions(archive, owner, note, task.advance, _pour)
        try:
            copying.copy(places_of(), copying.parse(source), copying.parse(target), wish)
        finally:
            task.close()
    _tell(left_out)


def _pour(stream: int, tree: "TreeIO", path: str, manner: "CopyManner") -> None:
    from builder.formats.tar import pour  # few copy a stream

    pour.read(stream, tree, path, manner)


def _tell(left_out: list[tuple[str, str]]) -> None:
    """Name what was not copied: sockets, fifos and devices, and what changed meanwhile."""
    for name, why in left_out[:_SHOWN]:
        click.echo(f"left out `{visible(name)}`: {why}", err=True)
    if len(left_out) > _SHOWN:
        click.echo(f"left out {len(left_out) - _SHOWN} more", err=True)
