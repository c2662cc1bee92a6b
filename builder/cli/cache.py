"""`oven cache`: what builds have remembered, and how to forget it."""

import json
import time

import click

from builder.host.places import Places
from builder.host.privilege import enter_namespace


@click.group()
def cache() -> None:
    """Show and prune what builds have remembered; deleting any of it loses only time."""


@cache.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(as_json: bool) -> None:  # noqa: FBT001  # click's way
    """Show what the cache takes up."""
    places = Places.of_user()
    enter_namespace()
    from builder.store import Store
    from builder.store.sweep import KINDS, usage

    rows = usage(Store(places.cache))
    if as_json:
        click.echo(json.dumps([{"kind": r.kind, "count": r.count, "bytes": r.size} for r in rows]))
        return
    click.echo(f"{places.cache}")
    for row in rows:
        click.echo(f"{row.kind:<9} {row.count:>6}  {row.size / 1e6:>9.1f} MB  {KINDS[row.kind]}")
    click.echo(f"{'in all':<16}  {sum(row.size for row in rows) / 1e6:>9.1f} MB")


@cache.command()
@click.option(
    "--days",
    type=click.FloatRange(min=0),
    default=30.0,
    show_default=True,
    help="Remove what is unused so long.",
)
def prune(days: float) -> None:
    """Remove what no build has used for a while."""
    places = Places.of_user()
    enter_namespace()
    from builder.store import Store
    from builder.store.sweep import prune as prune_store

    count = prune_store(Store(places.cache), unused_since=time.time() - days * 86400)
    click.echo(f"removed {count} objects")
