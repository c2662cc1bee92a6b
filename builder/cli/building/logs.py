"""`oven cache logs`: what builds said, also those that nobody watched."""

import click

from builder.cli.terminal.sizes import shown
from builder.cli.terminal.table import columns
from builder.host.kernel.namespaces import enter_namespace
from builder.host.places import Places
from builder.model.errors import NotFoundError


@click.command()
@click.argument("name", metavar="[TEMPLATE]", required=False)
def logs(name: str | None) -> None:
    """List the logs of builds, or print the newest one of a template.

    Each build that had something to do has one: its stages and why they ran, its commands, and what
    packages and scripts said. The last five of a template stay until the cache is pruned.
    """
    places = Places.of_user()
    enter_namespace()
    from builder.store import Store
    from builder.store.logs import logs as kept

    found = kept(Store(places.cache).root)
    if name is None:
        heading = ("TEMPLATE", "ARCH", "BEGAN", "SIZE", "ENDED", "FILE")
        rows = [(one.name, one.arch, one.began, shown(one.size), one.outcome, str(one.path))
                for one in found]  # fmt: skip
        click.echo("\n".join(columns([heading, *rows], right={3})))
        return
    mine = [one for one in found if one.name == name]
    if not mine:
        raise NotFoundError(
            f"there is no log of a build of `{name}`",
            hint="`oven cache logs` lists those that there are",
        )
    click.echo(mine[-1].path.read_text(errors="replace"), nl=False)
