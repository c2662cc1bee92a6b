"""`oven upgrade` and `oven rollback`: a new template under a container, and the way back."""

import json
from typing import TYPE_CHECKING

import click

from builder.cli.containers.options import answers, with_options
from builder.cli.containers.snapshot import stopped
from builder.cli.session import places_of
from builder.cli.terminal.table import columns
from builder.cli.terminal.verbose import verbose
from builder.host.places import Places

if TYPE_CHECKING:
    from builder.runtime.upgrade.plan import UpgradePlan
    from builder.templates.local import Template

_TOLD = ("merged", "conflict", "hidden")


@click.command()
@click.argument("name")
@click.option(
    "--to",
    "wanted",
    metavar="TEMPLATE",
    help="The new template; by default what the name of the old one means now.",
)
@click.option("--dry-run", is_flag=True, help="Only tell what would become of which file.")
@click.option(
    "--reinstall", is_flag=True, help="Install packages again that were installed by hand inside."
)
@click.option("--no-start", is_flag=True, help="Do not start it to see that it works.")
@click.option(
    "-t",
    "--time",
    "seconds",
    type=float,
    default=60,
    metavar="SECONDS",
    help="How long a start may take.",
)
@with_options(answers)
@click.option("--json", "as_json", is_flag=True, help="Print JSON: every path with its verdict.")
@verbose
def upgrade(  # one for each option
    name: str,
    wanted: str | None,
    dry_run: bool,  # noqa: FBT001  # click's way
    reinstall: bool,  # noqa: FBT001
    no_start: bool,  # noqa: FBT001
    seconds: float,
    as_json: bool,  # noqa: FBT001
    **given: object,
) -> None:
    """Put a new template under a container that keeps its own changes.

    It is stopped, changed and started; if it does not work as before, all is as it was.
    """
    from builder.appliance.answers import chosen
    from builder.cli.terminal.lines import reporter
    from builder.runtime.record.container import check_name
    from builder.runtime.recovery import repair
    from builder.runtime.upgrade import upgrade as upgrading

    places = places_of(name)
    repair.resume(places, check_name(name))
    template = _template(places, name, wanted)
    if template is None:
        click.echo(json.dumps({"upgraded": False}) if as_json else f"{name} is up to date")
        return
    order = upgrading.UpgradeRequest(
        template,
        reinstall=reinstall,
        start=not no_start,
        timeout=seconds,
        answer=lambda had: chosen(answers.stack(template.manifest.interface, given, had)),
    )
    if dry_run:
        _tell(upgrading.foresee(places, name, order), None, as_json=as_json)
        return
    with reporter() as report:
        outcome = upgrading.upgrade(places, name, order, report)
    _tell(outcome.plan, outcome.snapshot, as_json=as_json)


@click.command()
@click.argument("name")
@click.option("--stop", is_flag=True, help="Stop the container if it runs, and start it again.")
@verbose
def rollback(name: str, stop: bool) -> None:  # noqa: FBT001  # click's way
    """Make a container what it was before its last upgrade; what it is now becomes a snapshot."""
    from builder.runtime.upgrade import upgrade as upgrading

    places = places_of(name)
    with stopped(places, name, stop=stop):
        click.echo(upgrading.rollback(places, name))


def _template(places: Places, name: str, wanted: str | None) -> "Template | None":
    """Find the template to go to, unpacked; None when the container stands on it already."""
    from builder.runtime.record.container import check_name, load
    from builder.store import Store
    from builder.templates.exchange import unpack_template
    from builder.templates.local import Templates

    container = load(places, check_name(name))
    templates = Templates(places.data)
    found = templates.find(wanted or container.template_name)
    if found.digest == container.template:
        return None
    unpack_template(found, templates, Store(places.cache))
    return templates.find(found.digest)


def _tell(plan: "UpgradePlan", snapshot: str | None, *, as_json: bool) -> None:
    if as_json:
        import msgspec

        value = {
            "upgraded": snapshot is not None,
            "snapshot": snapshot,
            "counts": plan.counts(),
            "install": plan.work.install,
            "remove": plan.work.remove,
            "files": msgspec.to_builtins(plan.lines),
        }
        click.echo(json.dumps(value, indent=2))
        return
    told = [line for line in plan.lines if line.verdict in _TOLD]
    rows = [(one.verdict, f"/{one.path}" + (f"  ({one.note})" if one.note else "")) for one in told]
    counts = [(str(count), verdict) for verdict, count in sorted(plan.counts().items())]
    for line in (*columns(rows), *columns(counts, right={0}, gap=1)):
        click.echo(line)
    if snapshot is not None:
        click.echo(f"what it was before is the snapshot `{snapshot}`", err=True)
