"""`oven cache verify`: whether all that builds have remembered is still what it was."""

import click

from builder.host.kernel.namespaces import enter_namespace
from builder.host.places import Places


@click.command()
@click.pass_context
def verify(context: click.Context) -> None:
    """Read all that is kept, and remove what is damaged.

    Its status is 1 if anything was; the next build makes it again.
    """
    places = Places.of_user()
    enter_namespace()
    from builder.store import Store
    from builder.store.verify import verify as verify_store

    count = 0
    for damage in verify_store(Store(places.cache)):
        count += 1
        click.echo(f"damaged, removed: {damage.kind}/{damage.name}")
        for path in damage.paths:
            click.echo(f"  {path!r}" if "\0" in path else f"  {path}")
    click.echo(f"{count} damaged objects")
    context.exit(1 if count else 0)
