"""`oven doctor`: what this machine lacks, and how to mend it."""

import json
from typing import TYPE_CHECKING

import click

from builder.cli.session import seen_places

if TYPE_CHECKING:
    from builder.host.checks.machine import Check

COLORS = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(as_json: bool) -> int:  # noqa: FBT001  # click's way
    """Check what this machine lacks, and say how to mend it.

    Ends with status 3 when something is missing that Oven cannot do without.
    """
    from builder.doctor import examine

    checks = []
    for check in examine(seen_places()):
        checks.append(check)
        if not as_json:
            _show(check)
    if as_json:
        keys = ("name", "state", "found", "fix")
        rows = [{key: getattr(check, key) for key in keys} for check in checks]
        click.echo(json.dumps(rows, indent=2))
    return 3 if any(check.state == "fail" for check in checks) else 0


def _show(check: "Check") -> None:
    state = click.style(f"{check.state:<4}", fg=COLORS[check.state])
    click.echo(f"{state}  {check.name:<18}  {check.found}")
    if check.fix:
        click.echo(f"{'':<26}mend: {check.fix}")
