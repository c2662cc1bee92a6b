"""`oven events`: what happened to containers, and what happens."""

import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import click

from builder.cli.terminal.moments import SINCE
from builder.host.places import Places
from builder.model.visible import visible

if TYPE_CHECKING:
    from builder.runtime.record.events import Event


@click.command()
@click.argument("names", metavar="[NAME...]", nargs=-1)
@click.option("-f", "--follow", is_flag=True, help="Go on as more happens.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object for each, one a line.")
@SINCE
def events(
    names: tuple[str, ...],
    follow: bool,  # noqa: FBT001  # click's way
    as_json: bool,  # noqa: FBT001
    since: float | None,
) -> None:
    """Show what happened to containers: to all, or to those named; they may be gone."""
    from builder.runtime.record import events as runtime_events

    places = Places.of_user()
    places.data.mkdir(parents=True, exist_ok=True)
    read = runtime_events.follow if follow else runtime_events.read
    begin = "" if since is None else runtime_events.stamp(since)
    for event in _wanted(read(places), frozenset(names), begin):
        click.echo(_as_json(event) if as_json else _line(event))


def _wanted(events: Iterable["Event"], names: frozenset[str], begin: str) -> Iterator["Event"]:
    for event in events:
        if event.time >= begin and (not names or event.name in names):
            yield event


def _as_json(event: "Event") -> str:
    from msgspec import structs

    return json.dumps(structs.asdict(event))


def _line(event: "Event") -> str:
    details = (f"{key}={_word(value)}" for key, value in event.details.items())
    return visible("  ".join((event.time, event.name, " ".join((event.what, *details)))))


def _word(value: object) -> str:
    """Write a value as `oven set` takes it."""
    words = {None: "none", True: "yes", False: "no"}
    return words[value] if value is None or isinstance(value, bool) else str(value)
