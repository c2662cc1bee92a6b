"""`oven cache`: what builds have remembered, and how to forget it."""

import json
import time
from collections import defaultdict
from typing import TYPE_CHECKING

import click

from builder.cli.building.logs import logs
from builder.cli.building.verify import verify
from builder.cli.terminal.amounts import reader
from builder.cli.terminal.sizes import shown
from builder.cli.terminal.table import columns
from builder.host.kernel.namespaces import enter_namespace
from builder.host.places import Places
from builder.model import amounts

if TYPE_CHECKING:
    from builder.store.sweep import Gone, StoreUsage

DAYS = 30.0
"""What `prune` takes when nothing is said."""


@click.group()
def cache() -> None:
    """Show and prune what builds have remembered; deleting any of it loses only time."""


@cache.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(as_json: bool) -> None:  # noqa: FBT001  # click's way
    """Show what the cache takes up, and how long it was not used."""
    places = Places.of_user()
    enter_namespace()
    from builder.store import Store, indexes, sweep

    rows = [*sweep.usage(Store(places.cache)), *indexes.usage(places.cache)]
    if as_json:
        click.echo(json.dumps([_facts(row) for row in rows]))
        return
    kinds = {**sweep.KINDS, **indexes.KINDS}
    click.echo(f"{places.cache}")
    cells: list[tuple[str, ...]] = []
    for row in rows:
        age = "" if row.oldest is None else f"{(time.time() - row.oldest) / 86400:.0f} days"
        about = kinds.get(row.kind, "")
        cells.append((row.kind, str(row.count), shown(row.size), age, about))
    cells.append(("in all", "", shown(sum(row.size for row in rows)), "", ""))
    click.echo("\n".join(columns(cells, right={1, 2, 3})))


@cache.command()
@click.option(
    "--days",
    type=click.FloatRange(min=0),
    metavar="N",
    help="Remove what no build has used for so long; 30 if nothing else is said.",
)
@click.option(
    "--size",
    callback=reader(amounts.size()),
    metavar="SIZE",
    help="Remove the longest unused until the rest takes no more than that, such as 5G.",
)
@click.option("--all", "everything", is_flag=True, help="Remove all that no build uses just now.")
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with every object.")
def prune(
    days: float | None,
    size: int | None,
    everything: bool,  # noqa: FBT001  # click's way
    dry_run: bool,  # noqa: FBT001
    as_json: bool,  # noqa: FBT001
) -> None:
    """Remove what no build has used for a while; never what a running build uses."""
    if everything and (days is not None or size is not None):
        raise click.UsageError("--all removes everything, so --days and --size say nothing more")
    places = Places.of_user()
    enter_namespace()
    from builder.store import Store, indexes
    from builder.store.sweep import PrunePolicy
    from builder.store.sweep import prune as prune_store

    if everything or (days is None and size is None):
        days = 0.0 if everything else DAYS
    before = None if days is None else time.time() - days * 86400
    gone = prune_store(Store(places.cache), PrunePolicy(before, size), rehearse=dry_run)
    if before is not None:
        gone += indexes.prune(places.cache, unused_since=before, rehearse=dry_run)
    if as_json:
        click.echo(json.dumps([_removed(one) for one in gone]))
    else:
        _tell(gone, dry_run=dry_run)


def _facts(row: "StoreUsage") -> dict[str, object]:
    return {
        "kind": row.kind,
        "count": row.count,
        "bytes": row.size,
        "oldest-use": None if row.oldest is None else int(row.oldest),
    }


def _removed(one: "Gone") -> dict[str, object]:
    return {"kind": one.kind, "name": one.name, "bytes": one.size, "last-use": int(one.used)}


def _tell(gone: "list[Gone]", *, dry_run: bool) -> None:
    kinds: dict[str, list[int]] = defaultdict(list)
    for one in gone:
        kinds[one.kind].append(one.size)
    rows = [(kind, str(len(sizes)), shown(sum(sizes))) for kind, sizes in kinds.items()]
    for line in columns(rows, right={1, 2}):
        click.echo(line)
    freed = shown(sum(one.size for one in gone))
    verb = "would remove" if dry_run else "removed"
    click.echo(f"{verb} {len(gone)} objects, {freed}")


cache.add_command(verify)
cache.add_command(logs)
