"""`oven health`: whether containers do what their appliances are for."""

import json
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal

import click

from builder.cli.session import places_of
from builder.cli.terminal.verbose import verbose
from builder.model.visible import visible

if TYPE_CHECKING:
    from builder.model.health import Level
    from builder.runtime.health.checkup import Outcome

Format = Literal["table", "json", "prometheus"]
_PAUSE = 2.0
"""Seconds between two checkups that are watched."""


@click.command()
@click.argument("name")
@click.option(
    "--level",
    type=click.Choice(["live", "ready", "deep"]),
    default="deep",
    help="How far to go: whether it runs, also whether it serves, or all there is.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json", "prometheus"]),
    default="table",
    help="How it is printed; `prometheus` for monitoring.",
)
@click.option("--watch", is_flag=True, help="Go on asking, and tell of what changes.")
@verbose
def health(name: str, level: "Level", as_json: bool, form: Format, watch: bool) -> int:  # noqa: FBT001
    """Ask whether a container does what its appliance is for.

    Its template has the questions. It ends with 0 when all answers are right, with 1 when one is
    not, and with 7 when there is no such container.
    """
    from builder.runtime.health import checkup

    places = places_of(name)
    form = "json" if as_json else form
    if watch:
        known: dict[str, str] = {}
        while True:
            outcomes = checkup.look(places, name, level)
            _tell_changes(outcomes, known, as_json=form == "json")
            time.sleep(_PAUSE)
    outcomes = checkup.look(places, name, level)
    if not outcomes and form == "table":
        click.echo(f"the template of container `{name}` has nothing to ask", err=True)
    elif form == "json":
        click.echo(json.dumps([_facts(one) for one in outcomes], indent=2))
    else:
        lines = _table(outcomes) if form == "table" else _metrics(name, outcomes)
        click.echo("\n".join(lines))
    return 0 if all(one.healthy for one in outcomes) else 1


def _facts(outcome: "Outcome") -> dict[str, object]:
    probe = outcome.probe
    return {
        "probe": probe.name,
        "kind": probe.kind,
        "level": probe.level,
        "healthy": outcome.healthy,
        "seconds": outcome.seconds,
        "reason": outcome.reason or None,
        "unit": probe.unit,
        "lines": outcome.lines,
    }


def _table(outcomes: "Sequence[Outcome]") -> Iterator[str]:
    from builder.cli.terminal.table import columns

    rows = [("PROBE", "KIND", "LEVEL", "SECONDS", "HEALTH")]
    rows += [
        (one.probe.name, one.probe.kind, one.probe.level, f"{one.seconds:.3f}", _word(one))
        for one in outcomes
    ]
    yield from columns(rows, right=(3,))
    for one in outcomes:
        if one.lines:
            yield ""
            yield f"{one.probe.unit}:"
            yield from (f"  {visible(line)}" for line in one.lines)


def _word(outcome: "Outcome") -> str:
    return "ok" if outcome.healthy else outcome.reason


def _metrics(name: str, outcomes: "Sequence[Outcome]") -> Iterator[str]:
    """Give it in the text format of Prometheus; no name has anything that would need an escape."""
    labels = [f'{{container="{name}",probe="{one.probe.name}",level="{one.probe.level}"}}'
              for one in outcomes]  # fmt: skip
    yield "# HELP oven_health Whether a probe of a container passes."
    yield "# TYPE oven_health gauge"
    for label, one in zip(labels, outcomes, strict=True):
        yield f"oven_health{label} {int(one.healthy)}"
    yield "# HELP oven_health_duration_seconds How long a probe of a container took."
    yield "# TYPE oven_health_duration_seconds gauge"
    for label, one in zip(labels, outcomes, strict=True):
        yield f"oven_health_duration_seconds{label} {one.seconds:.3f}"


def _tell_changes(outcomes: "Sequence[Outcome]", known: dict[str, str], *, as_json: bool) -> None:
    moment = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    for one in outcomes:
        name, word = one.probe.name, _word(one)
        if known.get(name) == word:
            continue
        known[name] = word
        line = json.dumps({"time": moment, **_facts(one)})
        click.echo(line if as_json else visible(f"{moment}  {name}  {word}"))
