"""`oven snapshot`: what a container was, kept, listed, gone back to and removed."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from builder.cli.containers.lifecycle import settle_schedule
from builder.cli.session import places_of
from builder.cli.terminal.amounts import reader
from builder.cli.terminal.table import table
from builder.cli.terminal.verbose import verbose
from builder.host.places import Places
from builder.model import amounts

if TYPE_CHECKING:
    from builder.runtime.storage.change import Snapshot

NAME = click.argument("name")


@click.group()
def snapshot() -> None:
    """Keep what a container is, and go back to it."""


@snapshot.command()
@NAME
@click.argument("snapshot", metavar="[SNAP]", required=False)
@verbose
def create(name: str, snapshot: str | None) -> None:
    """Keep what a container is now, running or not, and print the snapshot's name."""
    from builder.runtime.history import snapshots

    click.echo(snapshots.create(places_of(name), name, snapshot))


@snapshot.command(name="list")
@NAME
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_(name: str, as_json: bool) -> None:  # noqa: FBT001  # click's way
    """List the snapshots of a container, the oldest first."""
    from builder.runtime.history import snapshots

    rows = [_row(key, one) for key, one in snapshots.listed(places_of(name), name).items()]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    keys = ("name", "created", "for", "template")
    cells = [tuple(map(str.upper, keys)), *(tuple(str(row[key]) for key in keys) for row in rows)]
    click.echo("\n".join(table(cells)))


@snapshot.command()
@NAME
@click.argument("snapshot", metavar="SNAP")
@click.option("--stop", is_flag=True, help="Stop the container if it runs, and start it again.")
@click.option("--discard", is_flag=True, help="Throw away what it is now, instead of keeping it.")
@verbose
def restore(
    name: str,
    snapshot: str,
    stop: bool,  # noqa: FBT001  # click's way
    discard: bool,  # noqa: FBT001
) -> None:
    """Make a container what it was; what it is now becomes a snapshot, whose name is printed."""
    from builder.runtime.history import snapshots

    places = places_of(name)
    if stop:
        snapshots.need(places, name, snapshot)  # refused before anything is stopped
    with stopped(places, name, stop=stop):
        before = snapshots.restore(places, name, snapshot, discard=discard)
        if before is not None:
            click.echo(before)


@snapshot.command()
@NAME
@click.argument("snapshots", metavar="SNAP...", nargs=-1, required=True)
@verbose
def rm(name: str, snapshots: tuple[str, ...]) -> None:
    """Remove snapshots."""
    from builder.runtime.history.snapshots import remove

    remove(places_of(name), name, snapshots)


@snapshot.command()
@NAME
@click.option(
    "--every",
    metavar="SPAN",
    callback=reader(amounts.span()),
    help="Make one so often, such as 30m, 12h, 1d or 2w.",
)
@click.option(
    "--keep", type=click.IntRange(1), default=7, metavar="N", help="Keep so many of these."
)
@click.option("--off", is_flag=True, help="Make no more; those that are there stay.")
@verbose
def schedule(name: str, every: int | None, keep: int, off: bool) -> None:  # noqa: FBT001
    """Have snapshots made as time goes by, and the oldest of these removed."""
    from builder.runtime.history import schedule as scheduling

    places = places_of(name)
    if off:
        scheduling.write(places, name, None)
        settle_schedule(places)
        return
    if every is None:
        current = scheduling.read(places, name)
        click.echo(f"every {current.every} s, keep {current.keep}" if current else "none")
        return
    if every < scheduling.SHORTEST:
        raise click.UsageError(f"--every must be at least {scheduling.SHORTEST // 60}m")
    scheduling.write(places, name, scheduling.Schedule(every=every, keep=keep))
    settle_schedule(places)


@snapshot.command()
def due() -> int:
    """Make the snapshots of all containers that are due; a timer runs this."""
    from builder.cli.terminal.report import show
    from builder.model.errors import OvenError
    from builder.runtime.history import schedule as scheduling

    code = 0
    for name, made in scheduling.due(places_of()):
        if isinstance(made, OvenError):
            show(made)
            code = code or made.exit_code
        else:
            click.echo(f"{name}\t{made}")
    return code


@contextmanager
def stopped(places: Places, name: str, *, stop: bool) -> Iterator[None]:
    """Have a running container stopped for a while if that was said, or is now on a terminal."""
    from builder.cli.containers.lifecycle import start_and_tell
    from builder.model.errors import ConflictError
    from builder.runtime.lifecycle import control
    from builder.runtime.recovery import orphans, repair, tasks

    if not stop and not sys.stdin.isatty():
        yield  # one that runs is refused
        return
    repair.resume(places, name)
    seen = orphans.look(places, name)
    runs = seen.status != "stopped"
    if runs and not stop and sys.stdin.isatty():
        stop = click.confirm(f"container `{name}` is running; stop it?", err=True)
    if not runs or not stop:
        yield
        return
    if seen.record.remove:
        raise ConflictError(f"container `{name}` is gone once it is stopped (`run --rm`)")
    with tasks.begun(places, name, runs=True):
        control.stop(places, name)
        yield
        start_and_tell(places, name)


def _row(name: str, one: "Snapshot") -> dict[str, object]:
    return {
        "name": name,
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(one.created)),
        "for": one.kind,
        "running": one.running,
        "template": one.template_name,
        "digest": one.template,
        "layers": list(one.layers),
    }
