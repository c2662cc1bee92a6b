"""`oven diff`: what an administrator changed, and what differs between two templates."""

import difflib
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from builder.cli.session import places_of
from builder.cli.terminal.table import columns
from builder.cli.terminal.verbose import verbose
from builder.host.places import Places
from builder.model.errors import NotFoundError
from builder.model.visible import visible

if TYPE_CHECKING:
    from builder.host.overlayfs.layered import Layers
    from builder.runtime.diff.difference import Difference

_LETTERS = {"added": "A", "changed": "C", "deleted": "D"}


@click.command()
@click.argument("name")
@click.argument("other", required=False)
@click.option(
    "--json", "as_json", is_flag=True, help="Print JSON: every path with what has changed of it."
)
@click.option("--stat", is_flag=True, help="Only count, by folder.")
@click.option("-p", "--patch", is_flag=True, help="Show the lines that differ in texts.")
@click.option("--all", "everything", is_flag=True, help="Show logs, caches and the like too.")
@click.option(
    "--as-overlay",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Write it as DIR/overlay of a recipe, and print the lines that it needs.",
)
@verbose
def diff(
    name: str,
    other: str | None,
    as_json: bool,  # noqa: FBT001  # click's way
    stat: bool,  # noqa: FBT001
    patch: bool,  # noqa: FBT001
    everything: bool,  # noqa: FBT001
    as_overlay: Path | None,
) -> None:
    """Show what was changed in a container against its template, or between two templates."""
    from builder.runtime.diff import difference

    places = places_of(name if other is None else "")
    if other is not None:
        if as_overlay is not None:
            raise click.UsageError("--as-overlay takes one container")
        with _templates(places, name, other) as layers:
            _show(difference.differences(layers, everything=True), as_json, stat, patch)
        return
    with difference.opened(places, name) as (container, layers):
        if as_overlay is not None:
            from builder.runtime.diff.as_overlay import write

            written = write(layers, container, as_overlay)
            click.echo(written.recipe(), nl=False)
            click.echo(f"{as_overlay}/overlay has {len(written.files)} files", err=True)
            return
        found = difference.differences(layers, container, everything=everything)
        _show(found, as_json, stat, patch)


def _templates(places: Places, name: str, other: str) -> "Layers":
    from builder.runtime.diff.difference import layers_on
    from builder.templates.local import Templates

    templates = Templates(places.data)
    found = [templates.find(one) for one in (name, other)]
    for one, wanted in zip(found, (name, other), strict=True):
        if not one.unpacked:
            raise NotFoundError(
                f"the template `{wanted}` is still packed",
                hint=f"`oven run {wanted} -- true` unpacks it",
            )
    return layers_on((found[1].rootfs,), found[0].rootfs, shows=False)


def _show(found: "Iterator[Difference]", as_json: bool, stat: bool, patch: bool) -> None:  # noqa: FBT001
    if as_json:
        import msgspec

        rows = [msgspec.to_builtins(one.row) for one in found]
        # Names need not be UTF-8; JSON has to be.
        click.echo(json.dumps(rows, indent=2).encode("utf-8", "replace"))
    elif stat:
        _count(found)
    else:
        for one in found:
            click.echo(_line(one))
            if patch:
                for line in _patch(one):
                    click.echo(line)


def _count(found: "Iterator[Difference]") -> None:
    counts: dict[str, Counter[str]] = {}
    for one in found:
        top = "/" + "/".join(one.row.path.split("/")[:2])
        counts.setdefault(top, Counter())[one.row.what] += 1
        counts[top]["bytes"] += one.row.size if one.row.what != "deleted" else 0
    total: Counter[str] = Counter()
    for top in sorted(counts):
        total += counts[top]
    rows = [_counted(counts[top], top) for top in sorted(counts)]
    numbers = range(len(_LETTERS) + 1)
    click.echo("\n".join(columns([*rows, _counted(total, "in all")], right=numbers)))


def _counted(counts: "Counter[str]", where: str) -> tuple[str, ...]:
    numbers = (f"{counts[what]} {what}" for what in _LETTERS)
    return (*numbers, f"{counts['bytes'] / 1e6:.1f} MB", where)


def _line(one: "Difference") -> str:
    row = one.row
    end = "/" if row.kind == "folder" else ""
    aspects = f"  ({', '.join(row.of)})" if row.of else ""
    return visible(f"{_LETTERS[row.what]} /{row.path}{end}{aspects}")


def _patch(one: "Difference") -> Iterator[str]:
    from builder.runtime.diff.difference import text_of

    before, after = text_of(one.pair.below), text_of(one.pair.seen)
    if before is None or after is None:
        return
    path = one.row.path
    for line in difflib.unified_diff(before, after, f"template/{path}", f"container/{path}"):
        yield "  " + visible(line.rstrip("\n").replace("\t", "    "))
