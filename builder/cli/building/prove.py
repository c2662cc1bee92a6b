"""`oven prove`: build twice under other conditions, and compare every byte."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click

from builder.cli.building.choosing import chosen_cells, only, profile
from builder.cli.terminal.table import columns
from builder.cli.terminal.verbose import verbose
from builder.model.errors import StageError

if TYPE_CHECKING:
    from builder.cli.building.workplace import Planned
    from builder.proof.prove import Differing, Proof


@click.command()
@click.argument("name", metavar="RECIPE|APPLIANCE")
@click.option("--arch", metavar="ARCH", help="Build for this architecture instead of the host's.")
@click.option(
    "--bootstrap",
    type=click.Choice(["native", "debootstrap"]),
    default="native",
    help="What makes the base tree.",
)
@profile
@only
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print JSON: stages, differences, and what was perturbed.",
)
@verbose
def prove(
    name: str,
    arch: str | None,
    bootstrap: str,
    profiles: tuple[str, ...],
    only: tuple[str, ...],
    as_json: bool,  # noqa: FBT001
) -> None:
    """Build a recipe twice with nothing remembered, under other conditions, and compare all bytes.

    On a difference, names the first stage that has one, with the files and their first bytes, and
    ends with status 6.
    """
    from builder.cli.building.workplace import open_workplace, plan_of
    from builder.proof.prove import compare
    from builder.proof.trial import both
    from builder.proof.variations import plan_conditions
    from builder.recipes.lock_files import lock_for
    from builder.recipes.request import BuildRequest
    from builder.stages.fetch import fetch

    cells = chosen_cells(name, profiles, only)
    if len(cells) > 1:
        raise click.UsageError("one recipe is proved at a time; choose with --only")
    with open_workplace() as work:
        planned, tools = plan_of(cells[0], arch, work), work.tools
        lock = lock_for(
            planned.asked, planned.files, planned.resolve, tools.report, now=time.time()
        )
        fetch(lock.packages, planned.sources.mirrors, tools, recipe=planned.loaded.name)
        with tools.store.draft() as draft, TemporaryDirectory(prefix="oven-prove-") as elsewhere:
            size = sum(package.size for package in lock.packages)
            conditions = plan_conditions(draft, Path(elsewhere), size, jobs=tools.jobs)
            order = BuildRequest(loaded=planned.loaded, arch=planned.asked.arch, lock=lock)
            with both(order, planned.sources, conditions, tools, driver=bootstrap) as builds:
                proof = compare(builds.first, builds.second, builds.stores)
        rows = [*conditions.rows, ("clock", *builds.times)]
    if as_json:
        click.echo(json.dumps(_facts(planned, proof, rows, conditions.kept), indent=2))
    else:
        for line in _lines(proof, rows, conditions.kept):
            click.echo(line)
    if not proof.proven:
        raise _not_proven(planned.loaded.name, proof)


Row = tuple[str, str, str]


def _lines(proof: "Proof", rows: list[Row], kept: tuple[tuple[str, str], ...]) -> Iterator[str]:
    lines = columns([*rows, *kept])
    yield "the two builds had"
    yield from (f"  {line}" for line in lines[: len(rows)])
    yield "and both had the same"
    yield from (f"  {line}" for line in lines[len(rows) :])
    yield from columns(
        [
            (one.stage, *(("same", one.result[:12]) if one.same else ("differs",)))
            for one in proof.stages
        ]
    )
    if proof.proven:
        yield "proven: all bytes are the same"


def _not_proven(name: str, proof: "Proof") -> StageError:
    stage = proof.stages[-1].stage
    shown = [line for file in proof.files[:5] for line in _file(file)]
    if proof.count > 5:
        shown.append(f"and {proof.count - 5} more, which --json names")
    shown += [f"{count} of them always differ: {why}" for why, count in proof.known.items()]
    if proof.inputs:
        shown.append(f"the stage was not given the same: {', '.join(proof.inputs)}")
    suspects = list(dict.fromkeys(who for file in proof.files for who in file.suspects))
    hint = f"look at {' and '.join(suspects[:3])}" if suspects else None
    if proof.count and sum(proof.known.values()) == proof.count:
        from builder.proof.causes import CURE

        hint = CURE
    problem = f"`{name}` is not reproducible: `{stage}` differs"
    if proof.count:
        problem += f" in {proof.count} path{'s' if proof.count > 1 else ''}"
    return StageError(problem, hint=hint, output="\n".join(shown))


def _file(file: "Differing") -> Iterator[str]:
    yield f"{file.path}: {', '.join(file.what)}"
    if file.offset is not None:
        offset = str(file.offset)
        rows = [("first", offset, file.first), ("second", offset, file.second)]
        yield from (f"  {line}" for line in columns(rows))


def _facts(
    planned: "Planned", proof: "Proof", rows: list[Row], kept: tuple[tuple[str, str], ...]
) -> dict[str, object]:
    import msgspec

    facts: dict[str, object] = {
        "recipe": planned.loaded.name,
        "arch": str(planned.asked.arch),
        "perturbed": {what: [first, second] for what, first, second in rows},
        "not-perturbed": dict(kept),
    }
    proved = msgspec.to_builtins(proof)
    assert isinstance(proved, dict)  # of a struct it is always one
    return facts | proved
