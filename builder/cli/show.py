"""`oven list`, `show` and `logs`: what there is, and what it says."""

import json
import time
from typing import TYPE_CHECKING

import click

from builder.host.places import Places
from builder.host.privilege import require_root

if TYPE_CHECKING:
    from builder.runtime.show import Summary

AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.command(name="list")
@AS_JSON
def list_(as_json: bool) -> None:  # noqa: FBT001  # click's way
    """List the containers."""
    require_root("oven list")
    from builder.runtime.show import list_containers

    rows = [_facts(summary) for summary in list_containers(Places.of_user())]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    columns = ("name", "status", "address", "template", "ports")
    table = [tuple(column.upper() for column in columns)]
    table += [tuple(_word(row[column]) for column in columns) for row in rows]
    widths = [max(len(line[index]) for line in table) for index in range(len(columns))]
    for line in table:
        click.echo(
            "  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip()
        )


@click.command()
@click.argument("name")
@AS_JSON
def show(name: str, as_json: bool) -> None:  # noqa: FBT001  # click's way
    """Show one container."""
    require_root("oven show")
    from builder.runtime.show import show as look_at

    facts = _facts(look_at(Places.of_user(), name))
    if as_json:
        click.echo(json.dumps(facts, indent=2))
        return
    for key, value in facts.items():
        click.echo(f"{key:<10}  {_word(value)}")


@click.command()
@click.argument("name")
@click.option("-f", "--follow", is_flag=True, help="Go on as new lines come.")
def logs(name: str, follow: bool) -> None:  # noqa: FBT001  # click's way
    """Show what a container wrote to its console."""
    require_root("oven logs")
    from builder.runtime import logs as runtime_logs

    read = runtime_logs.follow if follow else runtime_logs.console
    for line in read(Places.of_user(), name):
        click.echo(line)


def _facts(summary: "Summary") -> dict[str, object]:
    """Gather what a person or a script wants to know of a container."""
    from builder.model.value import hex_of

    container = summary.container
    return {
        "name": container.name,
        "status": summary.status,
        "ready": summary.ready,
        "address": summary.address,
        "template": container.template_name,
        "digest": hex_of(container.template),
        "ports": [str(port) for port in container.ports],
        "network": [one.network for one in container.interfaces],
        "hostname": container.hostname,
        "memory": container.limits.memory,
        "pids": container.limits.pids,
        "cpus": container.limits.cpus,
        "first-id": container.first_id,
        "pid": summary.pid,
        "exit-code": summary.exit_code,
        "created": _time(container.created),
        "started": _time(summary.since) if summary.since else None,
    }


def _time(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _word(value: object) -> str:
    if value is None or value == []:
        return "-"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
